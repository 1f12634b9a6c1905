#pragma once

/// Streams in memory, for tests and fuzzers of what reads and writes streams.

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "os/stream.h"

namespace fulgur::cli {

/// Gives its text in pieces of at most `piece_bytes`, so that readers meet every border.
class MemoryInput final : public os::InputStream {
public:
    explicit MemoryInput(std::string text, std::size_t piece_bytes = 1 << 16)
        : text_(std::move(text)), piece_bytes_(piece_bytes) {}

    Result<std::size_t> read(std::span<char> into) override {
        if (failure) return *failure;
        const std::size_t size = std::min({into.size(), piece_bytes_, text_.size() - position_});
        if (size > 0) std::memcpy(into.data(), text_.data() + position_, size);
        position_ += size;
        return size;
    }
    std::optional<std::uint64_t> size() const override { return text_.size(); }
    const std::string& name() const override { return name_; }

    std::optional<Error> failure;  ///< Every read fails with it.

private:
    std::string text_;
    std::string name_ = "memory";
    std::size_t piece_bytes_;
    std::size_t position_ = 0;
};

class MemoryOutput final : public os::OutputStream {
public:
    explicit MemoryOutput(bool terminal = false) : terminal_(terminal) {}

    Result<void> write(std::string_view from) override {
        if (failure) return *failure;
        text += from;
        return {};
    }
    Result<void> finish() override { return {}; }
    bool is_terminal() const override { return terminal_; }
    const std::string& name() const override { return name_; }

    std::string text;
    std::optional<Error> failure;  ///< Every write fails with it.

private:
    std::string name_ = "memory";
    bool terminal_;
};

}  // namespace fulgur::cli
