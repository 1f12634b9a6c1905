#pragma once

#include <cstdint>
#include <string_view>

namespace fulgur {

/// A view of any bytes, text or not, embedded zeros included. It owns nothing: whoever returns one
/// says how long it stays valid. Order everywhere is the order of unsigned bytes.
using Bytes = std::string_view;

/// Position of a commit in the one total order of commits. Dense: each commit takes the next one.
/// A type of its own, so that it is never mixed up with a byte position or a count.
enum class Sequence : std::uint64_t {};

}  // namespace fulgur
