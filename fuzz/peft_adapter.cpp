// Any bytes as an adapter in PEFT's format, the text of adapter_config.json up to the first zero
// byte and adapter_model.safetensors after it: refused, or read the same again after it is written.
// Nothing but bad_input may leave.
#include "terse/formats/peft_adapter.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <span>
#include <string>

#include "terse/core/error.h"
#include "terse/formats/safetensors.h"

namespace {

using namespace terse;

void require(bool holds) {
  if (!holds) std::abort();
}

std::map<std::string, Tensor> read_tensors(std::span<const std::byte> file) {
  const SafetensorsHeader header = parse_safetensors_header(file);
  std::map<std::string, Tensor> tensors;
  for (const SafetensorsEntry& entry : header.tensors) {
    const auto bytes =
        file.subspan(header.data_begin).subspan(entry.begin, entry.end - entry.begin);
    tensors[entry.name] = Tensor(entry.dtype, entry.shape, bytes, nullptr);
  }
  return tensors;
}

PeftAdapter read(const std::string& config, const std::map<std::string, Tensor>& tensors) {
  PeftAdapter adapter{PeftConfig::parse(parse_json(config)), {}};
  std::vector<std::string> names;
  for (const auto& entry : tensors) names.push_back(entry.first);
  adapter.modules = read_peft_modules(adapter.config, names,
                                      [&](const std::string& name) { return tensors.at(name); });
  return adapter;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::uint8_t* end = std::find(data, data + size, 0);
  const std::string config(reinterpret_cast<const char*>(data),
                           static_cast<std::size_t>(end - data));
  try {
    const std::size_t used = std::min(size, config.size() + 1);
    const auto tensors = read_tensors(std::as_bytes(std::span(data + used, size - used)));
    const PeftAdapter adapter = read(config, tensors);
    std::map<std::string, Tensor> written;
    for (const NamedTensor& tensor : peft_tensors(adapter)) written[tensor.name] = tensor.tensor;
    require(written.size() == tensors.size());
    const PeftAdapter again = read(adapter.config.to_json().dump(), written);
    require(again.config.r == adapter.config.r && again.modules.size() == adapter.modules.size());
    for (std::size_t i = 0; i < again.modules.size(); ++i) {
      require(again.modules[i].name == adapter.modules[i].name);
      require(again.modules[i].scale == adapter.modules[i].scale);
    }
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::bad_input);
  }
  return 0;
}
