#pragma once

/// Base64 (RFC 4648 section 4): the standard alphabet, with padding, nothing in between. Decoding
/// is strict, so that each text stands for one sequence of bytes and each sequence has one text.

#include <cstddef>
#include <string>

#include <fulgur/bytes.h>

namespace fulgur {

/// Appends the text for `bytes` to `into`.
void append_base64(Bytes bytes, std::string& into);

struct Base64Outcome {
    bool ok = true;
    std::size_t fault = 0;  ///< Position in the text of the first wrong character.
};

/// Replaces `into` by the bytes that `text` stands for; untouched bytes are unspecified on a fault.
Base64Outcome decode_base64(Bytes text, std::string& into);

}  // namespace fulgur
