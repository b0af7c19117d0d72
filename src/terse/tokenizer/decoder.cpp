#include "terse/tokenizer/decoder.h"

#include "terse/tokenizer/decoder_stages.h"
#include "terse/tokenizer/part.h"
#include "terse/tokenizer/pattern.h"
#include "terse/tokenizer/pre_tokenizer.h"

namespace terse {

Decoder::Decoder(const Json& part) {
  if (part.is_null()) {
    stages_.push_back(make_space_joiner());
  } else {
    add_part(part);
  }
}

Decoder::Decoder(const Decoder& other) {
  for (const auto& stage : other.stages_) stages_.push_back(stage->clone());
}

void Decoder::add_part(const Json& part) {
  const std::string type = get_string(part, "type");
  try {
    if (type == "Sequence") {
      for (const Json* child : get_parts(part, "decoders")) add_part(*child);
    } else if (type == "ByteLevel") {
      stages_.push_back(make_byte_level_decoder());
    } else if (type == "ByteFallback") {
      stages_.push_back(make_byte_fallback_decoder());
    } else if (type == "Metaspace") {
      stages_.push_back(make_metaspace_decoder(read_metaspace(part)));
    } else if (type == "Replace") {
      Pattern pattern = Pattern::read(part);
      stages_.push_back(make_replace_decoder(std::move(pattern), get_string(part, "content")));
    } else if (type == "Fuse") {
      stages_.push_back(make_fuse_decoder());
    } else if (type == "Strip") {
      constexpr std::int64_t kMost = 1 << 20;
      const char32_t character = get_character(part, "content");
      const std::int64_t start = get_count(part, "start", kMost);
      const std::int64_t stop = get_count(part, "stop", kMost);
      stages_.push_back(make_strip_decoder(character, start, stop));
    } else {
      throw unknown_part("decoder", type);
    }
  } catch (Error& error) {
    error.add_context(type);
    throw;
  }
}

void Decoder::run(std::size_t first_stage, std::vector<Fragment> fragments, std::string& text) {
  std::vector<Fragment> out;
  for (std::size_t i = first_stage; i < stages_.size() && !fragments.empty(); ++i) {
    out.clear();
    for (Fragment& fragment : fragments) stages_[i]->push(std::move(fragment), out);
    fragments.swap(out);
  }
  for (const Fragment& fragment : fragments) text += fragment.text;
}

void Decoder::push(std::string_view token, std::string& text) {
  std::vector<Fragment> fragments;
  fragments.push_back({std::string(token), true, true});
  run(0, std::move(fragments), text);
}

void Decoder::finish(std::string& text) {
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    std::vector<Fragment> rest;
    stages_[i]->finish(rest);
    run(i + 1, std::move(rest), text);
  }
}

}  // namespace terse
