# Everything the product links, each from the system's packages (scripts/build installs them).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(YAML_CPP REQUIRED IMPORTED_TARGET yaml-cpp)

# The OpenMP build of OpenBLAS by its own path: the system's alternative may point at the pthread
# build, and two threading runtimes in one process fight for the cores.
find_library(TERSE_OPENBLAS NAMES openblas
  PATHS /usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp /usr/lib/x86_64-linux-gnu/openblas-openmp
  NO_DEFAULT_PATH REQUIRED)
get_filename_component(openblas_dir ${TERSE_OPENBLAS} DIRECTORY)
find_path(TERSE_OPENBLAS_INCLUDE NAMES cblas.h
  PATHS /usr/include/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/openblas-openmp
        /usr/include/x86_64-linux-gnu/openblas-openmp NO_DEFAULT_PATH REQUIRED)
add_library(terse_openblas INTERFACE)
target_link_libraries(terse_openblas INTERFACE ${TERSE_OPENBLAS})
target_include_directories(terse_openblas SYSTEM INTERFACE ${TERSE_OPENBLAS_INCLUDE})
