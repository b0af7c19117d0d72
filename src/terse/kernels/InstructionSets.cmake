# Flags of the files that are compiled for one instruction set. A file's name ends in it.
# Contraction is off: a multiply-add is fused where the source says so and nowhere else, so that
# all copies of an expression agree in every bit.
set(TERSE_FLAGS_portable)
set(TERSE_FLAGS_avx2 -mavx2 -mfma -mf16c -mprefer-vector-width=256)
set(TERSE_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
    -mprefer-vector-width=512)
set(TERSE_FLAGS_avx512vnni ${TERSE_FLAGS_avx512} -mavx512vnni)
foreach(isa IN ITEMS portable avx2 avx512 avx512vnni)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/*_${isa}.cpp)
  if(isa STREQUAL portable OR CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS
      "-O3;-ffp-contract=off;-fno-math-errno;-fno-trapping-math;${TERSE_FLAGS_${isa}}")
  else()
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
  endif()
endforeach()
