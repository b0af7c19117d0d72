#include "terse/train/loop/training_text.h"

#include "terse/core/error.h"
#include "terse/formats/npy.h"
#include "terse/formats/staging_directory.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse::train {
namespace {

std::vector<std::int32_t> read_ids(const TrainingText& text, const std::filesystem::path& model,
                                   std::int64_t vocab_size) {
  if (!text.token_file.empty()) return read_token_ids(text.token_file, vocab_size).ids;
  return encode_texts(TextEncoder::load(model), read_texts(text.texts, text.text_key));
}

}  // namespace

std::int64_t training_window(std::int64_t asked, const Architecture& architecture) {
  const std::int64_t window = asked > 0 ? asked : architecture.default_window();
  if (window > architecture.context_length()) {
    throw bad_usage("a training window of {} tokens does not fit the model's context of {}", window,
                    architecture.context_length());
  }
  return window;
}

PackedTokens packed_text(const TrainingText& text, const std::filesystem::path& model,
                         std::int64_t vocab_size, std::int64_t window,
                         const std::filesystem::path& file) {
  if (!PackedTokens::is_packed(file)) {
    PackedTokens::pack(read_ids(text, model, vocab_size), vocab_size, file);
  }
  return {file, vocab_size, window};
}

PackedTokens packed_text_of_step(const TrainingText& text, const std::filesystem::path& model,
                                 const Architecture& architecture, std::int64_t window,
                                 const std::filesystem::path& folder) {
  const std::int64_t fitting = training_window(window, architecture);
  with_filesystem_errors([&] { std::filesystem::create_directories(folder); });
  return packed_text(text, model, architecture.vocab_size, fitting, folder / "text");
}

}  // namespace terse::train
