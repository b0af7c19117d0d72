#include "terse/recipe/block_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "terse/core/file.h"
#include "terse/core/free_memory.h"
#include "terse/formats/staging_directory.h"
#include "terse/recipe/overlay.h"

namespace terse {

BlockWalk::BlockWalk(const Checkpoint& base, Journal& journal, std::size_t pass,
                     double activation_interval, std::function<void()> on_part)
    : base_(base),
      journal_(journal),
      pass_(pass),
      activation_interval_(activation_interval),
      on_part_(std::move(on_part)) {}

void BlockWalk::run(Model& model, CalibrationStream* stream, BlockWorker& worker) {
  const std::int64_t blocks = model.architecture().num_hidden_layers;
  if (stream != nullptr) resume(model, *stream);
  kept_at_ = Clock::now();
  auto block = static_cast<std::int64_t>(journal_.pass(pass_).blocks.size());
  for (; block < blocks; ++block) {
    if (block + 1 < blocks) model.read_ahead(block + 1);
    load(model, block, stream != nullptr);
    BlockResult result = worker.compress(block);
    // Nothing reads what the last block puts out.
    const bool read = stream != nullptr && block + 1 < blocks;
    if (read) stream->finish(block);
    model.unload_block(block);
    release_free_memory();
    write(block, std::move(result), read ? stream : nullptr);
  }
  wait();
}

// Weights that are shared with an earlier block are what became of that one.
void BlockWalk::load(Model& model, std::int64_t block, bool prepare) {
  model.load_block(block, prepare);
  const auto shared = [&](const auto& item) { return model.shares(block, item.first); };
  if (std::ranges::none_of(model.block(block).linears, shared)) return;
  wait();
  Model finished(
      std::make_shared<const Checkpoint>(overlay_parts(base_, journal_, PartForm::exact)));
  finished.load_block(block, prepare);
  for (auto& [role, linear] : model.block(block).linears) {
    if (model.shares(block, role)) linear = finished.block(block).linears.at(role);
  }
}

// From the activations that were kept last, through the blocks that were finished since.
void BlockWalk::resume(Model& model, CalibrationStream& stream) const {
  const PassRecord& record = journal_.passes()[pass_];
  const auto done = static_cast<std::int64_t>(record.blocks.size());
  std::int64_t block = 0;
  if (record.activations_block >= 0) {
    block = record.activations_block;
    stream.load(journal_.path(record.activations_file));
  } else {
    stream.start();
  }
  if (block == done) return;
  Model finished(
      std::make_shared<const Checkpoint>(overlay_parts(base_, journal_, PartForm::exact)));
  for (; block < done; ++block) {
    finished.load_block(block);
    std::swap(model.block(block), finished.block(block));
    stream.finish(block);
    model.unload_block(block);
    finished.unload_block(block);
    release_free_memory();
  }
}

// `stream` holds the activations that go into the next block, or is null: none are needed then.
void BlockWalk::write(std::int64_t block, BlockResult result, const CalibrationStream* stream) {
  wait();
  PassRecord& record = journal_.pass(pass_);
  const std::string old = record.activations_file;
  if (stream == nullptr) {
    record.forget_activations();
  } else if (activations_are_due()) {
    keep_activations(block + 1, *stream);
  }
  writing_ = std::async(std::launch::async, [=, this, &record, result = std::move(result)] {
    const std::string name = fmt::format("pass-{}-block-{:05}", pass_, block);
    record.blocks.push_back(journal_.write_part(name, result));
    journal_.save();
    on_part_();
    if (old.empty() || old == record.activations_file) return;
    with_filesystem_errors([&] { std::filesystem::remove(journal_.path(old)); });
  });
}

bool BlockWalk::activations_are_due() const {
  const std::chrono::duration<double> since = Clock::now() - kept_at_;
  return since.count() >= activation_interval_;
}

// They count when the list is saved, with the block before them.
void BlockWalk::keep_activations(std::int64_t block, const CalibrationStream& stream) {
  PassRecord& record = journal_.pass(pass_);
  record.activations_file = fmt::format("pass-{}-activations-{:05}", pass_, block);
  record.activations_digest = stream.save(journal_.path(record.activations_file));
  record.activations_block = block;
  kept_at_ = Clock::now();
}

void BlockWalk::wait() {
  if (writing_.valid()) writing_.get();
}

}  // namespace terse
