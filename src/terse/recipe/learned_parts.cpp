#include "terse/recipe/learned_parts.h"

#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "terse/model/weights/storage.h"

namespace terse {
namespace {

void append(std::vector<NamedTensor>& all, std::vector<NamedTensor> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

// Whether programs that read no packed weights, or no sparse ones, could not read it.
bool must_be_dense(const Json& config, const OutputSettings& output) {
  if (config.is_null()) return false;
  const bool integers = has_key(config, "quantization");
  return output.dequantize || (output.sparse == SparseStorage::dense && !integers);
}

void add_weight(const Weight& learned, const Model& model, const OutputSettings& output,
                LinearReport report, BlockResult& part) {
  const Json config = learned.config();
  if (!must_be_dense(config, output)) {
    report.kind = learned.kind();
    report.storage = config;
    append(part.tensors, learned.tensors(report.module));
  } else {
    const auto plain = plain_weight(learned.dense(), model.dtype(), model.architecture().conv1d);
    report.kind = plain->kind();
    append(part.tensors, plain->tensors(report.module));
    append(part.exact_tensors, learned.tensors(report.module));
    part.exact_storage[report.module] = config;
  }
  part.linears.push_back(std::move(report));
}

void add_linears(const LearnedModel& learned, const Model& model, const Schedule& schedule,
                 std::int64_t block, const OutputSettings& output, BlockResult& part) {
  for (const auto& [key, linear] : model.block(block).linears) {
    const auto found = learned.weights.find(linear.module);
    if (found == learned.weights.end()) continue;
    const Matrix after = found->second->dense();
    LinearReport report{linear.module, "", relative_weight_error(linear.weight->dense(), after)};
    if (schedule.pruned_before(block, key)) report.sparsity = share_of_zeros(after);
    add_weight(*found->second, model, output, std::move(report), part);
  }
}

// Modules of the blocks, with the number of their block.
std::map<std::string, std::size_t> modules_of_blocks(const Model& model) {
  std::map<std::string, std::size_t> modules;
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    const auto index = static_cast<std::size_t>(block);
    for (const auto& entry : model.block(block).linears) modules[entry.second.module] = index;
    for (const auto& entry : model.block(block).norms) {
      modules[model.norm_module(block, entry.first)] = index;
    }
  }
  return modules;
}

}  // namespace

std::vector<BlockResult> parts_of(const LearnedModel& learned, const Model& model,
                                  const Schedule& schedule, const OutputSettings& output) {
  const std::int64_t blocks = model.architecture().num_hidden_layers;
  std::vector<BlockResult> parts(static_cast<std::size_t>(blocks));
  for (std::int64_t block = 0; block < blocks; ++block) {
    add_linears(learned, model, schedule, block, output, parts[static_cast<std::size_t>(block)]);
  }
  const auto of_blocks = modules_of_blocks(model);
  for (const auto& [module, weight] : learned.weights) {
    if (!of_blocks.contains(module)) append(parts.back().tensors, weight->tensors(module));
  }
  for (const NamedTensor& vector : learned.vectors) {
    const auto found = of_blocks.find(vector.name.substr(0, vector.name.rfind('.')));
    parts[found == of_blocks.end() ? parts.size() - 1 : found->second].tensors.push_back(vector);
  }
  return parts;
}

}  // namespace terse
