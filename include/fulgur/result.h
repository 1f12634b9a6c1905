#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace fulgur {

/// What the caller can do about it.
enum class ErrorCode : std::uint8_t {
    kIo = 1,      ///< The system refused a read, write or sync; `os_error` says why.
    kCorruption,  ///< Stored bytes are not what was written. Restore a backup, or salvage.
    kConflict,    ///< Another commit came first. Try the transaction again.
    kLimit,  ///< Over a stated limit (key, value, batch, memory budget). Use less, or raise it.
    kBusy,   ///< Somebody holds what is needed; the message names who. Wait, or end that.
    kUnsupported,  ///< This build, file system or format version cannot do it.
    kPoisoned,     ///< An earlier write failed. Close the database and open it again.
    kNoSpace,      ///< The disk is full. Free space and try again; nothing was lost.
    kInvalid,      ///< The call itself is wrong (bad argument, closed handle, wrong path).
    kTooOld,       ///< The store no longer has the transaction's moment. Try again, doing less.
    /// Nobody knows whether the commit took place, or still will. `Store::run` finds out.
    kUnknownResult,
};

/// The lower-case word for a code: "corruption", "no space", ...
const char* to_string(ErrorCode code) noexcept;

/// An error, by value: trivially copyable, and it never allocates. Absence is not an error: it is
/// an empty `std::optional`.
///
/// `what` points to text with static storage. `where` is the place (file, key, address), cut from
/// the left to fit, since the end of a path tells more than its beginning.
class [[nodiscard]] Error {
public:
    static constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

    Error(ErrorCode code, const char* what) noexcept : what_(what), code_(code) {}

    /// Names the file, key or address, and the byte offset in it when there is one.
    Error& at(std::string_view where, std::uint64_t offset = kNoOffset) noexcept {
        const std::size_t size = where.size() < sizeof(where_) ? where.size() : sizeof(where_);
        std::memcpy(where_, where.data() + (where.size() - size), size);
        where_size_ = static_cast<std::uint8_t>(size);
        offset_ = offset;
        return *this;
    }

    /// Adds the system's error number.
    Error& os(int number) noexcept {
        os_error_ = number;
        return *this;
    }

    ErrorCode code() const noexcept { return code_; }
    int os_error() const noexcept { return os_error_; }
    std::string_view what() const noexcept { return what_; }
    std::string_view where() const noexcept { return {where_, where_size_}; }
    /// In bytes; kNoOffset when there is none.
    std::uint64_t offset() const noexcept { return offset_; }

    /// One line for people: "corruption: page checksum mismatch (data at byte 40960)".
    std::string message() const;

private:
    const char* what_;
    std::uint64_t offset_ = kNoOffset;
    int os_error_ = 0;
    ErrorCode code_;
    std::uint8_t where_size_ = 0;
    char where_[74];
};
static_assert(std::is_trivially_copyable_v<Error>);

/// A value or an Error, that the compiler does not let you drop. `Result<void>` carries only the
/// possible error. Not thread-safe; a value.
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : ok_(true) {
        new (&value_) T(std::move(value));
    }  // NOLINT: implicit by intent
    Result(const Error& error) : ok_(false) { new (&error_) Error(error); }  // NOLINT
    template <typename U>
        requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::decay_t<U>, T> &&
                 !std::is_same_v<std::decay_t<U>, Error> &&
                 !std::is_same_v<std::decay_t<U>, Result>)
    Result(U&& value) : ok_(true) {  // NOLINT
        new (&value_) T(std::forward<U>(value));
    }
    Result(Result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : ok_(other.ok_) {
        if (ok_) {
            new (&value_) T(std::move(other.value_));
        } else {
            new (&error_) Error(other.error_);
        }
    }
    Result(const Result& other) requires std::is_copy_constructible_v<T> : ok_(other.ok_) {
        if (ok_) {
            new (&value_) T(other.value_);
        } else {
            new (&error_) Error(other.error_);
        }
    }
    Result& operator=(Result other) noexcept(std::is_nothrow_move_constructible_v<T>) {
        this->~Result();
        return *new (this) Result(std::move(other));
    }
    ~Result() {
        if (ok_) value_.~T();
    }

    bool ok() const noexcept { return ok_; }
    explicit operator bool() const noexcept { return ok_; }
    const Error& error() const noexcept {
        assert(!ok_);
        return error_;
    }

    /// The value. Misuse (there is an error) ends the program with the error's message.
    T& value() & {
        require();
        return value_;
    }
    const T& value() const& {
        require();
        return value_;
    }
    T value() && {
        require();
        return std::move(value_);
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

private:
    void require() const;

    union {
        T value_;
        Error error_;
    };
    bool ok_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() noexcept : error_(ErrorCode::kInvalid, ""), ok_(true) {}
    Result(const Error& error) noexcept : error_(error), ok_(false) {}  // NOLINT: implicit

    bool ok() const noexcept { return ok_; }
    explicit operator bool() const noexcept { return ok_; }
    const Error& error() const noexcept {
        assert(!ok_);
        return error_;
    }
    /// Misuse (there is an error) ends the program with the error's message.
    void value() const;

private:
    Error error_;
    bool ok_;
};

namespace detail {
/// Prints the error and aborts: a value was asked of a Result that holds an error.
[[noreturn]] void value_of_error(const Error& error) noexcept;
}  // namespace detail

template <typename T>
void Result<T>::require() const {
    if (!ok_) [[unlikely]] {
        detail::value_of_error(error_);
    }
}

inline void Result<void>::value() const {
    if (!ok_) [[unlikely]] {
        detail::value_of_error(error_);
    }
}

}  // namespace fulgur
