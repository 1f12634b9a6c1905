#include "cli/csv_codec.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/base64.h"
#include "base/planted.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

constexpr Bytes kByteOrderMark = "\xef\xbb\xbf";

void append_field(Bytes field, bool base64, std::string& into) {
    if (base64) {
        append_base64(field, into);
        return;
    }
    const Bytes special = FULGUR_PLANTED("csv_leaves_return_unquoted") ? ",\"\n" : ",\"\r\n";
    if (field.find_first_of(special) == Bytes::npos) {
        into += field;
        return;
    }
    into += '"';
    for (;;) {
        const std::size_t quote = field.find('"');
        into += field.substr(0, quote);
        if (quote == Bytes::npos) break;
        into += "\"\"";
        field.remove_prefix(quote + 1);
    }
    into += '"';
}

}  // namespace

void append_csv_header(const CsvStyle& style, std::string& into) {
    const char* const suffix = style.base64 ? "_base64" : "";
    if (style.keyspaces) fmt::format_to(std::back_inserter(into), "keyspace{},", suffix);
    fmt::format_to(std::back_inserter(into), "key{0},value{0}\r\n", suffix);
}

void append_csv_row(const CsvStyle& style, Bytes keyspace, Bytes key, Bytes value,
                    std::string& into) {
    if (style.keyspaces) {
        append_field(keyspace, style.base64, into);
        into += ',';
    }
    append_field(key, style.base64, into);
    into += ',';
    append_field(value, style.base64, into);
    into += "\r\n";
}

RecordReader::Outcome CsvReader::next(Record& record) {
    if (header_bad_) return Outcome::kEnd;
    if (skip_first_) {
        skip_first_ = false;
        if (const auto skipped = buffer_.skip_line(); !skipped.ok()) {
            failure_ = skipped.error();
            return Outcome::kFailed;
        }
        ++next_line_;
    }
    if (columns_.empty()) {
        const Outcome outcome = read_header();
        if (outcome != Outcome::kRecord) return outcome;
    }
    Outcome outcome = read_row();
    if (outcome != Outcome::kRecord) return outcome;
    outcome = fill_record(record);
    consume(row_size_);
    return outcome;
}

RecordReader::Outcome CsvReader::read_header() {
    const Outcome mark = require(kByteOrderMark.size() - 1);
    if (mark == Outcome::kFailed) return mark;
    if (buffer_.unread().starts_with(kByteOrderMark)) buffer_.consume(kByteOrderMark.size());

    const Outcome outcome = read_row();
    if (outcome != Outcome::kRecord) {
        header_bad_ = outcome == Outcome::kBad;
        return outcome;
    }
    const auto bad_header = [&](const Field& field, std::string what) {
        header_bad_ = true;
        columns_.clear();
        return fault(field.offset, std::move(what));
    };
    for (std::size_t i = 0; i < field_count_; ++i) {
        const std::optional<Column> column = find_column(fields_[i].text);
        const std::string name = printable(Bytes(fields_[i].text).substr(0, 80));
        if (!column) {
            return bad_header(fields_[i],
                              "unknown column \"" + name + "\": the first line must be " +
                                  (options_.keyspaces ? "keyspace,key,value" : "key,value"));
        }
        for (const Column& earlier : columns_) {
            if (earlier.role == column->role) {
                return bad_header(fields_[i], "column \"" + name + "\" is there twice");
            }
        }
        columns_.push_back(*column);
    }
    if (columns_.size() < (options_.keyspaces ? 3 : 2)) {
        return bad_header(fields_[0], options_.keyspaces
                                          ? "the first line must be keyspace,key,value"
                                          : "the first line must be key,value");
    }
    consume(row_size_);
    return Outcome::kRecord;
}

std::optional<CsvReader::Column> CsvReader::find_column(Bytes name) const {
    Column column{Role::kKey, name.ends_with("_base64")};
    if (column.base64) name.remove_suffix(7);
    if (name == "key") return column;
    column.role = Role::kValue;
    if (name == "value") return column;
    column.role = Role::kKeyspace;
    if (name == "keyspace" && options_.keyspaces) return column;
    return std::nullopt;
}

RecordReader::Outcome CsvReader::fill_record(Record& record) {
    record.keyspace.clear();
    if (field_count_ != columns_.size()) {
        const bool few = field_count_ < columns_.size();
        return fault(fields_[few ? field_count_ - 1 : columns_.size()].offset,
                     fmt::format("expected {} fields, found {}", columns_.size(), field_count_));
    }
    for (std::size_t i = 0; i < field_count_; ++i) {
        std::string& target = columns_[i].role == Role::kKey     ? record.key
                              : columns_[i].role == Role::kValue ? record.value
                                                                 : record.keyspace;
        if (!columns_[i].base64) {
            target.swap(fields_[i].text);
            continue;
        }
        const Base64Outcome outcome = decode_base64(fields_[i].text, target);
        if (!outcome.ok) {
            return fault(fields_[i].offset + outcome.fault, "not valid base64");
        }
    }
    return Outcome::kRecord;
}

RecordReader::Outcome CsvReader::read_row() {
    for (;;) {  // Past empty lines.
        line_ = next_line_;
        std::size_t offset = 0;
        const Outcome first = require(0);
        if (first != Outcome::kRecord) return first;

        for (field_count_ = 0;;) {
            if (field_count_ == fields_.size()) fields_.emplace_back();
            Field& field = fields_[field_count_++];
            field.offset = offset;
            field.text.clear();
            Outcome outcome = read_field(offset, field.text);
            if (outcome != Outcome::kRecord) return outcome;

            outcome = require(offset);
            if (outcome == Outcome::kEnd) break;  // The last row needs no line end.
            if (outcome != Outcome::kRecord) return outcome;
            const char end = buffer_.unread()[offset];
            ++offset;
            if (end == '\n') break;
            if (end == '\r') {
                outcome = require(offset);
                if (outcome == Outcome::kEnd) break;
                if (outcome != Outcome::kRecord) return outcome;
                if (buffer_.unread()[offset] != '\n') {
                    return refuse(offset - 1, "a carriage return outside quotes");
                }
                ++offset;
                break;
            }
            // A comma: one field more. More fields than any row has are not kept.
            if (field_count_ > 3) return refuse(offset - 1, "too many fields");
        }
        const bool empty_line =
            field_count_ == 1 && fields_[0].text.empty() && buffer_.unread()[0] != '"';
        if (offset > options_.line_bytes_max + 2) return refuse_length();  // 2: the line end.
        row_size_ = offset;
        if (!empty_line) return Outcome::kRecord;
        consume(row_size_);
    }
}

RecordReader::Outcome CsvReader::read_field(std::size_t& offset, std::string& text) {
    const Outcome outcome = require(offset);
    if (outcome == Outcome::kEnd) return Outcome::kRecord;  // An empty last field.
    if (outcome != Outcome::kRecord) return outcome;
    if (buffer_.unread()[offset] == '"') return read_quoted(offset, text);

    for (;;) {
        const Bytes rest = buffer_.unread().substr(offset);
        const std::size_t size = std::min(rest.find_first_of(",\"\r\n"), rest.size());
        text += rest.substr(0, size);
        offset += size;
        if (size < rest.size()) {
            if (rest[size] == '"') return refuse(offset, "a quote inside a field without quotes");
            return Outcome::kRecord;
        }
        const Outcome more = require(offset);
        if (more == Outcome::kEnd) return Outcome::kRecord;
        if (more != Outcome::kRecord) return more;
    }
}

RecordReader::Outcome CsvReader::read_quoted(std::size_t& offset, std::string& text) {
    const std::size_t opening = offset++;
    for (;;) {
        Outcome outcome = require(offset);
        if (outcome == Outcome::kEnd) return refuse(opening, "this quote is never closed");
        if (outcome != Outcome::kRecord) return outcome;
        const Bytes rest = buffer_.unread().substr(offset);
        const std::size_t size = std::min(rest.find('"'), rest.size());
        text += rest.substr(0, size);
        offset += size;
        if (size == rest.size()) continue;

        ++offset;  // The quote: an end, or the first of two.
        outcome = require(offset);
        if (outcome == Outcome::kEnd) return Outcome::kRecord;
        if (outcome != Outcome::kRecord) return outcome;
        const char next = buffer_.unread()[offset];
        if (next != '"') {
            if (next == ',' || next == '\r' || next == '\n') return Outcome::kRecord;
            return refuse(offset, "text after a closing quote");
        }
        text += '"';
        ++offset;
    }
}

RecordReader::Outcome CsvReader::require(std::size_t offset) {
    while (offset >= buffer_.unread().size()) {
        if (offset > options_.line_bytes_max) return refuse_length();
        const auto more = buffer_.fill();
        if (!more.ok()) {
            failure_ = more.error();
            return Outcome::kFailed;
        }
        if (!*more) return Outcome::kEnd;
    }
    return Outcome::kRecord;
}

RecordReader::Outcome CsvReader::fault(std::size_t offset, std::string what) {
    const Bytes before = buffer_.unread().substr(0, offset);
    const std::size_t lines = static_cast<std::size_t>(std::ranges::count(before, '\n'));
    const std::size_t newline = before.rfind('\n');
    const std::size_t line_start = newline == Bytes::npos ? 0 : newline + 1;
    bad_ = {line_ + lines, offset - line_start + 1, std::move(what)};
    return Outcome::kBad;
}

RecordReader::Outcome CsvReader::refuse(std::size_t offset, std::string what) {
    skip_first_ = true;
    return fault(offset, std::move(what));
}

RecordReader::Outcome CsvReader::refuse_length() {
    return refuse(0, fmt::format("the row is longer than {}: a quote may be missing",
                                 show_bytes(options_.line_bytes_max)));
}

void CsvReader::consume(std::size_t count) {
    const Bytes row = buffer_.unread().substr(0, count);
    next_line_ += static_cast<std::uint64_t>(std::ranges::count(row, '\n'));
    buffer_.consume(count);
}

}  // namespace fulgur::cli
