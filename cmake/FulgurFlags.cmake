# fulgur_flags: how our own code is compiled. Linked by our targets only, never exported.

add_library(fulgur_flags INTERFACE)
target_compile_options(fulgur_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
    -Wno-sign-conversion -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(fulgur_flags INTERFACE -Wthread-safety -Werror=thread-safety)
endif()
# GCC 12 and 13 take `string + "x"` for an overlapping copy (GCC bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
    target_compile_options(fulgur_flags INTERFACE -Wno-restrict)
endif()
if(FULGUR_WERROR)
    target_compile_options(fulgur_flags INTERFACE -Werror)
endif()

# The oldest processor that runs us has SSE4.2; everything newer is chosen at run time.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(fulgur_flags INTERFACE -march=x86-64-v2)
endif()

if(FULGUR_YIELD_POINTS)
    target_compile_definitions(fulgur_flags INTERFACE FULGUR_YIELD_POINTS)
endif()

if(PROJECT_IS_TOP_LEVEL)
    set(CMAKE_CXX_FLAGS_DEBUG "-Og -g -D_GLIBCXX_ASSERTIONS")
    # Lines are what profiles and traces need; variables would take a third of the time to compile.
    set(CMAKE_CXX_FLAGS_RELEASE "-O3 -g1 -DNDEBUG")
endif()

if(FULGUR_PLANTED_FAULTS)
    target_compile_definitions(fulgur_flags INTERFACE FULGUR_PLANTED_FAULTS)
endif()

# Sanitizers go into every object of the build, or into none. Lines are enough for their reports,
# and variables (-g) take a third of the time to compile.
if(FULGUR_SANITIZE)
    add_compile_options(-fsanitize=${FULGUR_SANITIZE} -fno-sanitize-recover=all -O1 -g1)
    add_link_options(-fsanitize=${FULGUR_SANITIZE})
endif()
if(FULGUR_FUZZ_ENGINE STREQUAL "libfuzzer")
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
