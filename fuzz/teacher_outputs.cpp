// Any bytes as a file of teacher outputs: refused, or positions whose ids are of the vocabulary.
#include "terse/formats/teacher_outputs.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "terse/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto outputs =
        terse::TeacherOutputs::parse(std::as_bytes(std::span(data, size)), nullptr);
    const terse::TeacherOutputsInfo& info = outputs.info();
    std::vector<std::int64_t> ids(static_cast<std::size_t>(info.top_k));
    std::vector<float> values(static_cast<std::size_t>(info.outcomes()));
    for (std::int64_t position = 0; position < info.positions(); ++position) {
      outputs.read(position, ids, values);
      if (!std::ranges::is_sorted(ids) || ids.back() >= info.vocab_size) std::abort();
      for (const float value : values) {
        if (!(value <= 0 && value >= -32)) std::abort();
      }
    }
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
