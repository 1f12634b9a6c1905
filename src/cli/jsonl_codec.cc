#include "cli/jsonl_codec.h"

#include <array>
#include <cctype>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/planted.h"
#include "cli/text.h"

namespace fulgur::cli {

namespace {

/// Size of each byte inside a JSON string: 1 as it is, 2 as `\n`, 6 as `\u0001`.
constexpr std::array<std::uint8_t, 256> string_sizes() {
    std::array<std::uint8_t, 256> sizes{};
    for (std::size_t byte = 0; byte < sizes.size(); ++byte) sizes[byte] = byte < 0x20 ? 6 : 1;
    for (const char c : {'"', '\\', '\b', '\f', '\n', '\r', '\t'}) {
        sizes[static_cast<unsigned char>(c)] = 2;
    }
    return sizes;
}
constexpr auto kStringSizes = string_sizes();

/// Above this size a value's text is chosen by length.
constexpr std::size_t kLargeBytes = 1 << 20;

bool is_shorter_as_base64(Bytes bytes) {
    std::size_t size = 0;
    for (const char c : bytes) size += kStringSizes[static_cast<unsigned char>(c)];
    return size > bytes.size() / 3 * 4;
}

/// Walks a line for the parser and tells how far the parser has read.
class CountingIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, const char** shared) : at_(at), shared_(shared) {}
    reference operator*() const { return *at_; }
    CountingIterator& operator++() {
        *shared_ = ++at_;
        return *this;
    }
    CountingIterator operator++(int) {
        CountingIterator before = *this;
        ++*this;
        return before;
    }
    bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
    bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

private:
    const char* at_;
    const char** shared_;
};

/// Receives the parser's events for one line and fills a record.
class LineHandler {
public:
    using Json = nlohmann::json;

    LineHandler(Bytes line, bool keyspaces, Record& record)
        : line_(line), position_(line.data()), keyspaces_(keyspaces), record_(record) {}

    const char** position() { return &position_; }
    std::optional<BadInput>& fault() { return fault_; }

    bool null() { return scalar("null"); }
    bool boolean(bool value) { return scalar(value ? "true" : "false"); }
    bool number_integer(Json::number_integer_t value) { return scalar(std::to_string(value)); }
    bool number_unsigned(Json::number_unsigned_t value) { return scalar(std::to_string(value)); }
    bool number_float(Json::number_float_t, const std::string& text) { return scalar(text); }
    bool binary(Json::binary_t&) { return refuse("binary data"); }  // Never in JSON text.

    bool string(std::string& text) {
        if (depth_ == 0) return refuse("expected an object: {\"key\":...,\"value\":...}");
        if (depth_ > 1) {
            separate();
            append_json_string(text, record_.value);
            return true;
        }
        if (!base64_) {
            target_->swap(text);
            return true;
        }
        const Base64Outcome outcome = decode_base64(text, *target_);
        if (outcome.ok) return true;
        return refuse_before(text.size() + 1 - outcome.fault, "not valid base64");
    }

    bool start_object(std::size_t) {
        if (depth_ == 0) {
            depth_ = 1;
            return true;
        }
        return open('{');
    }
    bool start_array(std::size_t) { return open('['); }
    bool end_object() { return close('}'); }
    bool end_array() { return close(']'); }

    bool key(std::string& name) {
        if (depth_ > 1) {
            separate();
            append_json_string(name, record_.value);
            record_.value += ':';
            after_name_ = true;
            return true;
        }
        Bytes member = name;
        base64_ = member.ends_with("_base64");
        if (base64_) member.remove_suffix(7);
        bool* seen = nullptr;
        if (member == "key") {
            target_ = &record_.key;
            seen = &has_key_;
        } else if (member == "value") {
            target_ = &record_.value;
            seen = &has_value_;
        } else if (member == "keyspace" && keyspaces_) {
            target_ = &record_.keyspace;
            seen = &has_keyspace_;
        } else if (member == "keyspace") {
            return refuse_before(name.size() + 2, "a keyspace is named: load with --all-keyspaces");
        } else {
            return refuse_before(name.size() + 2,
                                 fmt::format("unknown member \"{}\"", shorten(name)));
        }
        if (*seen)
            return refuse_before(name.size() + 2,
                                 fmt::format("\"{}\" is there twice", shorten(name)));
        *seen = true;
        target_->clear();
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
        // "[json.exception.parse_error.101] parse error at line 1, column 5: <what>; last read:
        // ..."
        Bytes what = error.what();
        const std::size_t column = what.find("column ");
        const std::size_t text = what.find(": ", column == Bytes::npos ? 0 : column);
        if (text != Bytes::npos) what.remove_prefix(text + 2);
        if (error.id == 406) what = "a number is out of range";
        fault_ = BadInput{0, position == 0 ? 1 : position, shorten(what)};
        return false;
    }

    /// What is still missing after a line without other faults.
    void finish() {
        if (fault_) return;
        const char* const missing = !has_key_                      ? "\"key\" is missing"
                                    : !has_value_                  ? "\"value\" is missing"
                                    : keyspaces_ && !has_keyspace_ ? "\"keyspace\" is missing"
                                                                   : nullptr;
        if (missing != nullptr) fault_ = BadInput{0, line_.size() == 0 ? 1 : line_.size(), missing};
    }

private:
    static constexpr std::size_t kWhatSizeMax = 160;

    static std::string shorten(Bytes text) {
        std::string shown = printable(text.substr(0, kWhatSizeMax));
        if (text.size() > kWhatSizeMax) shown += "...";
        return shown;
    }

    /// A fault at the end of the newest token.
    bool refuse(std::string what) { return refuse_before(1, std::move(what)); }
    /// A fault `back` bytes before the end of the newest token.
    bool refuse_before(std::size_t back, std::string what) {
        const std::size_t end = static_cast<std::size_t>(position_ - line_.data());
        fault_ = BadInput{0, end > back ? end - back + 1 : 1, std::move(what)};
        return false;
    }

    /// Writes the comma that the compact text needs before its next item.
    void separate() {
        if (!after_name_ && needs_comma_) record_.value += ',';
        after_name_ = false;
        needs_comma_ = true;
    }
    bool can_hold_any() { return target_ == &record_.value && !base64_; }

    bool scalar(Bytes text) {
        if (depth_ == 0) return refuse("expected an object: {\"key\":...,\"value\":...}");
        if (depth_ > 1) {
            separate();
        } else if (!can_hold_any()) {
            return refuse("expected a string");
        }
        record_.value += text;
        return true;
    }
    bool open(char bracket) {
        if (depth_ == 0) return refuse("expected an object: {\"key\":...,\"value\":...}");
        if (depth_ == 1 && !can_hold_any()) return refuse("expected a string");
        if (depth_ > 1) separate();
        record_.value += bracket;
        needs_comma_ = false;
        ++depth_;
        return true;
    }
    bool close(char bracket) {
        if (--depth_ == 0) return true;  // The record's own object.
        record_.value += bracket;
        needs_comma_ = true;
        return true;
    }

    Bytes line_;
    const char* position_;
    bool keyspaces_;
    Record& record_;
    std::string* target_ = nullptr;
    std::optional<BadInput> fault_;
    std::size_t depth_ = 0;
    bool base64_ = false;
    bool needs_comma_ = false;
    bool after_name_ = false;
    bool has_key_ = false;
    bool has_value_ = false;
    bool has_keyspace_ = false;
};

}  // namespace

void append_json_string(Bytes text, std::string& into) {
    into += '"';
    std::size_t plain = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::uint8_t size = kStringSizes[static_cast<unsigned char>(text[i])];
        if (size == 1) continue;
        into += text.substr(plain, i - plain);
        plain = i + 1;
        switch (text[i]) {
            case '"':
                into += "\\\"";
                break;
            case '\\':
                into += "\\\\";
                break;
            case '\b':
                into += "\\b";
                break;
            case '\f':
                into += "\\f";
                break;
            case '\n':
                into += "\\n";
                break;
            case '\r':
                into += "\\r";
                break;
            case '\t':
                into += "\\t";
                break;
            default:
                fmt::format_to(std::back_inserter(into), "\\u{:04x}", text[i]);
        }
    }
    into += text.substr(plain);
    into += '"';
}

void append_json_member(Bytes name, Bytes bytes, std::string& into) {
    into += '"';
    into += name;
    const bool is_text = is_utf8(bytes) || FULGUR_PLANTED("jsonl_writes_any_bytes_as_text");
    if (is_text && (bytes.size() <= kLargeBytes || !is_shorter_as_base64(bytes))) {
        into += "\":";
        append_json_string(bytes, into);
    } else {
        into += "_base64\":\"";
        append_base64(bytes, into);
        into += '"';
    }
}

void append_json_line(Bytes keyspace, Bytes key, Bytes value, std::string& into) {
    into += '{';
    if (!keyspace.empty()) {
        append_json_member("keyspace", keyspace, into);
        into += ',';
    }
    append_json_member("key", key, into);
    into += ',';
    append_json_member("value", value, into);
    into += "}\n";
}

std::optional<BadInput> decode_json_line(Bytes line, bool keyspaces, Record& record) {
    record.keyspace.clear();
    LineHandler handler(line, keyspaces, record);
    const char* const end = line.data() + line.size();
    nlohmann::json::sax_parse(CountingIterator(line.data(), handler.position()),
                              CountingIterator(end, handler.position()), &handler);
    handler.finish();
    return std::move(handler.fault());
}

JsonLinesReader::Found JsonLinesReader::find_line(std::size_t& size,
                                                  std::size_t& size_with_newline) {
    for (std::size_t searched = 0;;) {
        const std::size_t newline = buffer_.unread().find('\n', searched);
        size = newline == Bytes::npos ? buffer_.unread().size() : newline;
        if (size > options_.line_bytes_max) return Found::kTooLong;
        if (newline != Bytes::npos) {
            size_with_newline = size + 1;
            return Found::kLine;
        }
        searched = size;
        const auto more = buffer_.fill();
        if (!more.ok()) {
            failure_ = more.error();
            return Found::kFailed;
        }
        if (!*more) {
            size_with_newline = size;
            return size == 0 ? Found::kEnd : Found::kLine;
        }
    }
}

RecordReader::Outcome JsonLinesReader::next(Record& record) {
    if (skip_first_) {
        skip_first_ = false;
        if (const auto skipped = buffer_.skip_line(); !skipped.ok()) {
            failure_ = skipped.error();
            return Outcome::kFailed;
        }
    }
    for (;;) {
        std::size_t size = 0;
        std::size_t size_with_newline = 0;
        const Found found = find_line(size, size_with_newline);
        if (found == Found::kEnd) return Outcome::kEnd;
        if (found == Found::kFailed) return Outcome::kFailed;
        ++line_;
        if (found == Found::kTooLong) {
            bad_ = {line_, options_.line_bytes_max + 1,
                    fmt::format("the line is longer than {}", show_bytes(options_.line_bytes_max))};
            skip_first_ = true;
            return Outcome::kBad;
        }
        const Bytes line = buffer_.unread().substr(0, size);
        if (line.find_first_not_of(" \t\r") == Bytes::npos) {
            buffer_.consume(size_with_newline);
            continue;
        }
        std::optional<BadInput> fault = decode_json_line(line, options_.keyspaces, record);
        buffer_.consume(size_with_newline);
        if (!fault) return Outcome::kRecord;
        bad_ = std::move(*fault);
        bad_.line = line_;
        return Outcome::kBad;
    }
}

}  // namespace fulgur::cli
