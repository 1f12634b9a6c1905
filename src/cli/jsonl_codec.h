#pragma once

/// JSON lines: one object a line, `{"key":"...","value":"..."}`.
///
/// Bytes that are not UTF-8 are written as `key_base64`, `value_base64`, `keyspace_base64`. A value
/// that is any other JSON than a string stands for its own compact text. Everything else is
/// refused: unknown members (they would be lost without a word), repeated ones, text after the
/// object. Invariant: decoding what was encoded gives the same bytes, whatever they are.

#include <cstdint>
#include <optional>
#include <string>

#include <fulgur/bytes.h>

#include "cli/input_buffer.h"
#include "cli/record.h"

namespace fulgur::cli {

/// Appends `text`, which must be UTF-8, as a JSON string with its quotes.
void append_json_string(Bytes text, std::string& into);

/// Appends `"name":"..."`, or `"name_base64":"..."` when `bytes` are not UTF-8, or when they are
/// large and mostly control characters (which JSON writes in six bytes each: the line would not be
/// readable again).
void append_json_member(Bytes name, Bytes bytes, std::string& into);

/// Appends the line for a record, with its newline. No keyspace is written when it is empty.
void append_json_line(Bytes keyspace, Bytes key, Bytes value, std::string& into);

/// Decodes one line without its newline. `keyspaces`: the member "keyspace" must be there;
/// otherwise it must not. @return the fault (its line is 0), or nothing when `record` was filled.
std::optional<BadInput> decode_json_line(Bytes line, bool keyspaces, Record& record);

class JsonLinesReader final : public RecordReader {
public:
    JsonLinesReader(os::InputStream& input, const ReaderOptions& options)
        : buffer_(input), options_(options) {}

    Outcome next(Record& record) override;
    const BadInput& bad() const override { return bad_; }
    const Error& failure() const override { return failure_; }
    std::uint64_t line() const override { return line_; }
    std::uint64_t bytes_read() const override { return buffer_.consumed(); }

private:
    enum class Found : std::uint8_t { kLine, kEnd, kTooLong, kFailed };
    /// Finds the next line in the buffer: its size without and with its newline.
    Found find_line(std::size_t& size, std::size_t& size_with_newline);

    InputBuffer buffer_;
    ReaderOptions options_;
    std::uint64_t line_ = 0;
    bool skip_first_ = false;  ///< The newest line was too long: its rest is still to come.
    BadInput bad_;
    Error failure_{ErrorCode::kIo, ""};
};

}  // namespace fulgur::cli
