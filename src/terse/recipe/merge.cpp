#include "terse/recipe/merge.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/model/adapter.h"
#include "terse/model/storage_config.h"
#include "terse/model/weights/storage.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/overlay.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

std::map<std::string, PeftModule> read_adapters(const Model& model, const fs::path& adapter) {
  return with_context(adapter.string(),
                      [&] { return fit_adapter(model, read_peft_adapter(adapter)); });
}

void require_finite(const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& tensor : tensors) {
    if (!is_floating(tensor.tensor.dtype()) || all_finite(tensor.tensor)) continue;
    throw bad_input("{}: with the adapter merged it holds values that {} does not", tensor.name,
                    dtype_torch_name(tensor.tensor.dtype()));
  }
}

class Merge {
 public:
  Merge(const fs::path& base, const fs::path& adapter, const fs::path& output,
        const MergeSettings& settings)
      : dequantize_(settings.dequantize),
        base_(Checkpoint::open(base)),
        model_(std::make_shared<const Checkpoint>(base_)),
        adapters_(read_adapters(model_, adapter)),
        writer_(output, {.force = settings.force, .input = base_.dir()}),
        work_(writer_.staging_directory().work()) {
    with_filesystem_errors([&] { fs::create_directories(work_); });
  }

  MergeReport run(Progress& progress) {
    const std::int64_t blocks = model_.architecture().num_hidden_layers;
    progress.begin("merging", blocks, "blocks");
    for (std::int64_t block = 0; block < blocks; ++block) {
      if (block + 1 < blocks) model_.read_ahead(block + 1);
      add_block(block);
      progress.advance(1);
    }
    add_outer();
    progress.end();
    write();
    return std::move(report_);
  }

 private:
  void add_block(std::int64_t block) {
    const bool conv1d = model_.architecture().conv1d;
    model_.load_block(block, false);
    for (const auto& entry : model_.block(block).linears) {
      add(entry.second.module, conv1d ? "Conv1D" : "Linear", entry.second.weight, conv1d);
    }
    model_.unload_block(block);
    keep_changed(fmt::format("block-{:05}", block));
    release_free_memory();
  }

  void add_outer() {
    add(model_.tied_module(), "Embedding", model_.shared_embedding(), false);
    if (!model_.tied()) add(model_.head_module(), "Linear", model_.head().weight, false);
    if (model_.architecture().projected_embeddings) {
      add(model_.project_in_module(), "Linear", model_.project_in(), false);
      add(model_.project_out_module(), "Linear", model_.project_out(), false);
    }
    keep_changed("outer");
  }

  void add(const std::string& module, const char* class_name, const std::shared_ptr<Weight>& weight,
           bool transposed) {
    std::shared_ptr<Weight> now = weight;
    const auto adapter = adapters_.find(module);
    if (adapter != adapters_.end()) {
      now = with_context(module, [&] {
        return merge_adapter(weight, adapter->second, model_.stored_dtype(module + ".weight"),
                             transposed, dequantize_);
      });
      report_.linears.push_back(
          {module, now->kind(), relative_weight_error(weight->dense(), now->dense())});
    } else if (dequantize_ && !weight->config().is_null()) {
      now = plain_weight(weight->dense(), model_.dtype(), transposed);
    }
    storage_.push_back({module, class_name, now->config()});
    if (now != weight) replace(module, now->tensors(module));
  }

  void replace(const std::string& module, std::vector<NamedTensor> tensors) {
    require_finite(tensors);
    for (const std::string& name : base_.names_of(module)) {
      if (name != module + ".bias") hidden_.insert(name);
    }
    for (NamedTensor& tensor : tensors) changed_.push_back(std::move(tensor));
  }

  // On disk, so that a shard of the output need not be in memory until it is full.
  void keep_changed(const std::string& name) {
    if (changed_.empty()) return;
    const fs::path path = work_ / (name + ".safetensors");
    write_safetensors(path, changed_);
    changed_.clear();
    parts_.push_back(path);
  }

  void write() {
    Json config = base_.config();
    config.erase("quantization_config");
    config.erase("terse_config");
    add_storage_config(config, storage_, storage_context(model_));
    const Checkpoint merged = base_.overlaid(parts_, hidden_, std::move(config));
    write_tensors(merged, merged.names(), writer_);
    copy_side_files(base_.dir(), writer_.staging());
    writer_.finish(merged.config());
    report_.bytes_before = base_.total_bytes();
    report_.bytes_after = merged.total_bytes();
  }

  bool dequantize_;
  Checkpoint base_;
  Model model_;
  std::map<std::string, PeftModule> adapters_;
  CheckpointWriter writer_;
  fs::path work_;
  std::vector<ModuleStorage> storage_;  // of every weight, changed or not
  std::vector<NamedTensor> changed_;    // of the block
  std::vector<fs::path> parts_;
  std::set<std::string> hidden_;  // tensors of the base that others take the place of
  MergeReport report_;
};

}  // namespace

MergeReport merge(const fs::path& base, const fs::path& adapter, const fs::path& output,
                  const MergeSettings& settings, Progress& progress) {
  return Merge(base, adapter, output, settings).run(progress);
}

}  // namespace terse
