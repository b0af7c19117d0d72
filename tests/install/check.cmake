# Installs the build into a folder of its own, builds the consumer against it, and runs it.
# Variables: BUILD (build folder), SOURCE (tests/install), MODEL (a model directory).
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(work ${BUILD}/install-test)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
run(${CMAKE_COMMAND} -S ${SOURCE} -B ${work}/consumer -G Ninja -DCMAKE_PREFIX_PATH=${work}/prefix)
run(${CMAKE_COMMAND} --build ${work}/consumer)
run(${work}/consumer/consumer ${MODEL})
run(${work}/prefix/bin/terse --version)
