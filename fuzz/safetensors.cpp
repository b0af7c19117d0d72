// Any bytes as a safetensors file: refused, or a header whose tensors lie inside the file.
#include "terse/formats/safetensors.h"

#include <cstdlib>
#include <span>

#include "terse/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  try {
    const terse::SafetensorsHeader header = terse::parse_safetensors_header(file);
    std::uint64_t covered = 0;
    for (const terse::SafetensorsEntry& entry : header.tensors) {
      const auto bytes =
          file.subspan(header.data_begin).subspan(entry.begin, entry.end - entry.begin);
      const terse::Tensor tensor(entry.dtype, entry.shape, bytes, nullptr);
      if (terse::is_floating(entry.dtype)) tensor.to_floats();
      covered += bytes.size();
    }
    if (covered != size - header.data_begin) std::abort();
  } catch (const terse::Error& error) {
    if (error.kind() != terse::ErrorKind::bad_input) std::abort();
  }
  return 0;
}
