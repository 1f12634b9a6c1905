# What a stranger gets: headers, library, CMake package, pkg-config file. All of it relocatable.

include(CMakePackageConfigHelpers)

install(TARGETS fulgur EXPORT FulgurTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/fulgur DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Fulgur)
install(EXPORT FulgurTargets NAMESPACE Fulgur:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/FulgurConfig.cmake.in
    ${PROJECT_BINARY_DIR}/FulgurConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/FulgurConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/FulgurConfig.cmake
    ${PROJECT_BINARY_DIR}/FulgurConfigVersion.cmake DESTINATION ${package_dir})

# The library folder may be two deep (lib/x86_64-linux-gnu) or an absolute path: the way back to the
# prefix is computed, never written as "../..".
set(pkgconfig_dir ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH FULGUR_PC_TO_PREFIX ${pkgconfig_dir} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" FULGUR_PC_TO_PREFIX "${FULGUR_PC_TO_PREFIX}")
file(RELATIVE_PATH FULGUR_PC_LIBDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
file(RELATIVE_PATH FULGUR_PC_INCLUDEDIR ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/fulgur.pc.in ${PROJECT_BINARY_DIR}/fulgur.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/fulgur.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
