#pragma once

/// Comma-separated values as RFC 4180 has them: fields in quotes where needed, quotes doubled
/// inside, line ends inside quotes, rows ended by CRLF (LF is accepted).
///
/// The first row names the columns: `key` and `value`, each also as `key_base64`, `value_base64`,
/// and `keyspace` for more than one; in any order, nothing else. Fields are bytes: what is not
/// UTF-8 passes unchanged, but other programs may not read it, hence the base64 columns. Invariant:
/// decoding what was encoded gives the same bytes, whatever they are.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fulgur/bytes.h>

#include "cli/input_buffer.h"
#include "cli/record.h"

namespace fulgur::cli {

struct CsvStyle {
    bool base64 = false;
    bool keyspaces = false;
};
void append_csv_header(const CsvStyle& style, std::string& into);
void append_csv_row(const CsvStyle& style, Bytes keyspace, Bytes key, Bytes value,
                    std::string& into);

/// After a bad row reading goes on at the next line, not behind the next quote: one missing quote
/// does not swallow the rest of the file.
class CsvReader final : public RecordReader {
public:
    CsvReader(os::InputStream& input, const ReaderOptions& options)
        : buffer_(input), options_(options) {}

    Outcome next(Record& record) override;
    const BadInput& bad() const override { return bad_; }
    const Error& failure() const override { return failure_; }
    std::uint64_t line() const override { return line_; }
    std::uint64_t bytes_read() const override { return buffer_.consumed(); }

private:
    enum class Role : std::uint8_t { kKeyspace, kKey, kValue };
    struct Column {
        Role role;
        bool base64;
    };
    struct Field {
        std::string text;
        std::size_t offset = 0;  ///< Of its first byte, in the row.
    };

    /// Reads the first row. A bad one ends the reading: the columns are not known.
    Outcome read_header();
    std::optional<Column> find_column(Bytes name) const;
    Outcome fill_record(Record& record);

    /// Parses the row at the front of the buffer into `fields_`; its `row_size_` bytes stay there.
    Outcome read_row();
    /// Parses one field from `offset` on; `offset` ends on the byte that follows it.
    Outcome read_field(std::size_t& offset, std::string& text);
    Outcome read_quoted(std::size_t& offset, std::string& text);
    /// Makes the byte at `offset` of the row readable. kEnd: there is none.
    Outcome require(std::size_t offset);
    /// Records a fault at `offset` of the row. @return kBad.
    Outcome fault(std::size_t offset, std::string what);
    /// The same, for a row that cannot be parsed: the next call leaves its first line out.
    Outcome refuse(std::size_t offset, std::string what);
    Outcome refuse_length();
    void consume(std::size_t count);

    InputBuffer buffer_;
    ReaderOptions options_;
    std::vector<Column> columns_;
    std::vector<Field> fields_;
    std::size_t field_count_ = 0;
    std::size_t row_size_ = 0;
    bool header_bad_ = false;
    bool skip_first_ = false;      ///< The first line in the buffer is bad.
    std::uint64_t line_ = 0;       ///< Of the newest row's beginning.
    std::uint64_t next_line_ = 1;  ///< Of the front of the buffer.
    BadInput bad_;
    Error failure_{ErrorCode::kIo, ""};
};

}  // namespace fulgur::cli
