#include "terse/recipe/reference_stream.h"

#include <utility>

#include "terse/core/free_memory.h"

namespace terse {

ReferenceStream::ReferenceStream(Model model, const CalibrationTokens& tokens, std::uint64_t memory,
                                 const std::filesystem::path& directory)
    : model_(std::move(model)), stream_(model_, tokens, memory, directory) {
  stream_.start();
}

void ReferenceStream::enter(std::int64_t block) {
  model_.load_block(block_);
  while (block_ < block) {
    leave();
    model_.load_block(block_);
  }
}

void ReferenceStream::leave() {
  stream_.finish(block_);
  model_.unload_block(block_++);
  release_free_memory();
}

}  // namespace terse
