#pragma once

/// Faults planted on purpose, to prove that the tests can find faults.
///
/// `if (!FULGUR_PLANTED("skip_log_sync")) ...` is an ordinary condition that is constant, and gone,
/// in every build but the preset `planted`. There the one fault that FULGUR_PLANT names in the
/// environment is live, so that one build holds them all. tools/planted knows which test must catch
/// which fault, and fails when one goes uncaught or unlisted. Any thread may ask.

#if defined(FULGUR_PLANTED_FAULTS)

namespace fulgur {
bool is_planted(const char* name) noexcept;
}  // namespace fulgur

#define FULGUR_PLANTED(name) (::fulgur::is_planted(name))

#else

#define FULGUR_PLANTED(name) false

#endif
