# Flags of the files that are compiled for one instruction set. A file's name ends in it.
# `-ffp-contract=fast` makes every multiply-add one fused operation in each of them.
set(TERSE_FLAGS_avx2 -mavx2 -mfma -mf16c -mprefer-vector-width=256)
set(TERSE_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
    -mprefer-vector-width=512)
set(TERSE_FLAGS_portable)
foreach(isa IN ITEMS portable avx2 avx512)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/kernels/*_${isa}.cpp)
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS
    "-O3;-ffp-contract=fast;-fno-math-errno;-fno-trapping-math;${TERSE_FLAGS_${isa}}")
endforeach()
