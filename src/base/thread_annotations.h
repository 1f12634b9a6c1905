#pragma once

// Clang's thread-safety attributes (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html): which
// mutex guards what, checked when compiling with clang -Wthread-safety; nothing for gcc.

#if defined(__clang__)
#define FULGUR_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define FULGUR_THREAD_ATTRIBUTE(x)
#endif

// On a class.
#define CAPABILITY(name) FULGUR_THREAD_ATTRIBUTE(capability(name))
#define SCOPED_CAPABILITY FULGUR_THREAD_ATTRIBUTE(scoped_lockable)
// On a field: read and written only with the mutex held; for PT_, what it points to.
#define GUARDED_BY(...) FULGUR_THREAD_ATTRIBUTE(guarded_by(__VA_ARGS__))
#define PT_GUARDED_BY(...) FULGUR_THREAD_ATTRIBUTE(pt_guarded_by(__VA_ARGS__))
// On a function: the caller holds the mutex; or must not hold it.
#define REQUIRES(...) FULGUR_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) FULGUR_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))
// On a function: takes the mutex; lets it go; takes it when it returns the value.
#define ACQUIRE(...) FULGUR_THREAD_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) FULGUR_THREAD_ATTRIBUTE(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) FULGUR_THREAD_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define ASSERT_CAPABILITY(...) FULGUR_THREAD_ATTRIBUTE(assert_capability(__VA_ARGS__))
#define RETURN_CAPABILITY(x) FULGUR_THREAD_ATTRIBUTE(lock_returned(x))
// On a function that the analysis cannot follow; say why beside it.
#define NO_THREAD_SAFETY_ANALYSIS FULGUR_THREAD_ATTRIBUTE(no_thread_safety_analysis)
