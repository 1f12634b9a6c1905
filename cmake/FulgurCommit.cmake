# Writes OUT, a header with the commit of SOURCE and the compiler, when it changed.

execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
    set(commit unknown)
else()
    execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no
        OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
        string(APPEND commit "+changes")
    endif()
endif()
set(text "#pragma once\n#define FULGUR_COMMIT \"${commit}\"\n")
string(APPEND text "#define FULGUR_COMPILER \"${COMPILER} ${VERSION}\"\n")
if(EXISTS ${OUT})
    file(READ ${OUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
    file(WRITE ${OUT} "${text}")
endif()
