# Flags of the files that are compiled for one instruction set. A file's name ends in it.
# Contraction is off: a multiply-add is fused where the source says so and nowhere else, so that
# all copies of an expression agree in every bit.
set(TERSE_FLAGS_portable)
set(TERSE_FLAGS_avx2 -mavx2 -mfma -mf16c -mprefer-vector-width=256)
set(TERSE_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
    -mprefer-vector-width=512)
set(TERSE_FLAGS_avx512vnni ${TERSE_FLAGS_avx512} -mavx512vnni)
set(TERSE_FLAGS_neon -march=armv8.2-a+dotprod)
set(TERSE_SETS portable)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  list(APPEND TERSE_SETS avx2 avx512 avx512vnni)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND TERSE_SETS neon)
endif()
foreach(isa IN ITEMS portable avx2 avx512 avx512vnni neon)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_${isa}.cpp)
  if(isa IN_LIST TERSE_SETS)
    set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS
      "-O3;-ffp-contract=off;-fno-math-errno;-fno-trapping-math;${TERSE_FLAGS_${isa}}")
  else()
    set_source_files_properties(${sources} PROPERTIES HEADER_FILE_ONLY ON)
  endif()
endforeach()
