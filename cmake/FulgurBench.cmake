# The benchmark tool's library. Peers are optional: nobody needs RocksDB to build Fulgur.

find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(ZLIB REQUIRED)

file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.cc)
list(FILTER bench_sources EXCLUDE REGEX "_test\\.cc$")
add_library(fulgur_bench STATIC ${bench_sources} ${CMAKE_BINARY_DIR}/generated/empty.cc)
target_include_directories(fulgur_bench PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(fulgur_bench PUBLIC fulgur_internal fmt::fmt nlohmann_json::nlohmann_json ZLIB::ZLIB
    ${CMAKE_DL_LIBS})
target_compile_definitions(fulgur_bench PRIVATE FULGUR_VERSION="${PROJECT_VERSION}")
# Figures name the commit they were made of, and whether the tree had changes. As of each build.
add_custom_target(fulgur_commit
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DVERSION=${CMAKE_CXX_COMPILER_VERSION}
        -DCOMPILER=${CMAKE_CXX_COMPILER_ID} -DOUT=${CMAKE_BINARY_DIR}/generated/bench_commit.h
        -P ${PROJECT_SOURCE_DIR}/cmake/FulgurCommit.cmake
    BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/bench_commit.h
    COMMENT "Asking git for the commit")
add_dependencies(fulgur_bench fulgur_commit)
target_include_directories(fulgur_bench PRIVATE ${CMAKE_BINARY_DIR}/generated)

# The engine as a module for comparisons in one process: bench/variant.h. Built when asked for.
add_library(fulgur_variant MODULE EXCLUDE_FROM_ALL bench/variant/variant_module.cc
    bench/fulgur_store.cc)
set_target_properties(fulgur_variant PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
target_include_directories(fulgur_variant PRIVATE ${PROJECT_SOURCE_DIR}
    ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(fulgur_variant PRIVATE FULGUR_VERSION="${PROJECT_VERSION}")
target_link_libraries(fulgur_variant PRIVATE fulgur_internal fmt::fmt)
target_link_options(fulgur_variant PRIVATE -Wl,-Bsymbolic -Wl,--exclude-libs,ALL)
add_dependencies(fulgur_variant fulgur_commit)

# A peer NAME is there when its header and its library are.
function(fulgur_peer name header library)
    string(TOUPPER ${name} upper)
    find_path(${upper}_INCLUDE ${header})
    find_library(${upper}_LIBRARY ${library})
    set(source ${PROJECT_SOURCE_DIR}/bench/peers/${name}_peer.cc)
    if(FULGUR_PEERS AND ${upper}_INCLUDE AND ${upper}_LIBRARY AND EXISTS ${source})
        target_sources(fulgur_bench PRIVATE ${source})
        target_include_directories(fulgur_bench SYSTEM PRIVATE ${${upper}_INCLUDE})
        target_link_libraries(fulgur_bench PUBLIC ${${upper}_LIBRARY})
        target_compile_definitions(fulgur_bench PRIVATE FULGUR_PEER_${upper})
    endif()
endfunction()
fulgur_peer(lmdb lmdb.h lmdb)
fulgur_peer(rocksdb rocksdb/db.h rocksdb)
fulgur_peer(leveldb leveldb/db.h leveldb)
fulgur_peer(wiredtiger wiredtiger.h wiredtiger)
fulgur_peer(sqlite sqlite3.h sqlite3)
