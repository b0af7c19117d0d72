#include "terse/tokenizer/text_encoder.h"

#include <algorithm>
#include <array>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/json.h"

namespace terse {
namespace {

// A token of tokenizer_config.json is a string, or an object that holds it as `content`.
std::string token_text(const Json& config, const std::string& key) {
  if (!has_key(config, key)) return "";
  return config.at(key).is_object() ? get_string(config.at(key), "content")
                                    : get_string(config, key);
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return {path};
  constexpr std::array<std::string_view, 4> kEndings{".txt", ".md", ".raw", ".jsonl"};
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    const std::string ending = entry.path().extension().string();
    if (entry.is_regular_file() && std::ranges::find(kEndings, ending) != kEndings.end()) {
      files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  if (files.empty()) throw bad_input("{}: holds no .txt, .md, .raw or .jsonl files", path.string());
  return files;
}

void append_lines(const std::string& lines, const std::string& text_key,
                  std::vector<std::string>& texts) {
  std::size_t number = 0;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = std::string_view(lines).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    with_context(fmt::format("line {}", number),
                 [&] { texts.push_back(get_string(parse_json(line), text_key)); });
  }
}

}  // namespace

TextEncoder TextEncoder::load(const std::filesystem::path& directory) {
  TextEncoder encoder(Tokenizer::load(directory / "tokenizer.json"));
  const std::filesystem::path path = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return encoder;
  with_context(path.string(), [&] {
    const Json config = parse_json(read_file(path));
    const auto token = [&](const char* key) {
      const std::string text = token_text(config, key);
      return text.empty() ? std::nullopt : encoder.tokenizer_.token_id(text);
    };
    encoder.begin_token_ = token("bos_token");
    encoder.end_token_ = token("eos_token");
    encoder.add_begin_token_ = get_bool(config, "add_bos_token", false) && encoder.begin_token_;
  });
  return encoder;
}

std::vector<std::int32_t> TextEncoder::encode(std::string_view text) const {
  std::vector<std::int32_t> ids = tokenizer_.encode(text);
  if (add_begin_token_ && (ids.empty() || ids.front() != *begin_token_))
    ids.insert(ids.begin(), *begin_token_);
  return ids;
}

std::vector<std::string> read_texts(const std::vector<std::filesystem::path>& paths,
                                    const std::string& text_key) {
  std::vector<std::string> texts;
  for (const std::filesystem::path& path : paths) {
    for (const std::filesystem::path& file : files_of(path)) {
      std::string content = read_file(file);
      if (file.extension() != ".jsonl") {
        texts.push_back(std::move(content));
      } else {
        with_context(file.string(), [&] { append_lines(content, text_key, texts); });
      }
    }
  }
  return texts;
}

std::vector<std::int32_t> encode_texts(const TextEncoder& encoder,
                                       const std::vector<std::string>& texts) {
  std::vector<std::int32_t> ids;
  for (const std::string& text : texts) {
    const std::vector<std::int32_t> encoded = encoder.encode(text);
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }
  return ids;
}

}  // namespace terse
