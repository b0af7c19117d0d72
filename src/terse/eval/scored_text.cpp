#include "terse/eval/scored_text.h"

#include "terse/core/error.h"
#include "terse/formats/npy.h"
#include "terse/tokenizer/text_encoder.h"

namespace terse {

Windows read_windows(const ScoredText& text, const Model& model) {
  const Architecture& a = model.architecture();
  std::int64_t window = text.window > 0 ? text.window : a.default_window();
  std::vector<std::int32_t> ids;
  if (!text.token_file.empty()) {
    TokenArray array = read_token_ids(text.token_file, a.vocab_size);
    if (text.window == 0 && array.shape.size() == 2) window = array.shape[1];
    ids = std::move(array.ids);
  } else if (!text.texts.empty()) {
    const TextEncoder encoder = TextEncoder::load(model.checkpoint().dir());
    ids = encode_texts(encoder, read_texts(text.texts, text.text_key));
  } else {
    throw bad_usage("nothing to score: give --text or --tokens");
  }
  if (window > a.context_length()) {
    throw bad_usage("a window of {} tokens does not fit the model's context of {}", window,
                    a.context_length());
  }
  Windows windows = cut_windows(std::move(ids), window, text.stride);
  if (text.samples > 0) keep_spread(windows, text.samples);
  return windows;
}

}  // namespace terse
