# Headers, library, program and the CMake package (find_package(terse), target terse::terse).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/terse DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
# The program finds its library beside it, and the library the BLAS that it was linked with.
set_target_properties(terse terse_cli PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
set_target_properties(terse_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")

install(TARGETS terse LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS terse_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Built into the library too; these are to be read and copied.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/terse)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/terse)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/terseConfig.cmake.in
  ${PROJECT_BINARY_DIR}/terseConfig.cmake INSTALL_DESTINATION ${package_dir}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/terseConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/terseConfig.cmake ${PROJECT_BINARY_DIR}/terseConfigVersion.cmake
  DESTINATION ${package_dir})
