# Benchmarks. The peers are optional: nobody needs RocksDB to build Fulgur.

find_path(LMDB_INCLUDE lmdb.h)
find_library(LMDB_LIBRARY lmdb)
find_path(ROCKSDB_INCLUDE rocksdb/db.h)
find_library(ROCKSDB_LIBRARY rocksdb)
find_package(fmt QUIET)

file(GLOB benches CONFIGURE_DEPENDS bench/*_bench.cc)
file(GLOB peers CONFIGURE_DEPENDS bench/peers/*.cc)
if(benches AND LMDB_INCLUDE AND LMDB_LIBRARY AND ROCKSDB_INCLUDE AND ROCKSDB_LIBRARY AND fmt_FOUND)
    foreach(source IN LISTS benches)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source} ${peers})
        target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
        target_include_directories(${name} SYSTEM PRIVATE ${LMDB_INCLUDE} ${ROCKSDB_INCLUDE})
        target_link_libraries(${name} PRIVATE fulgur_internal fmt::fmt ${LMDB_LIBRARY}
            ${ROCKSDB_LIBRARY})
        set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    endforeach()
endif()
