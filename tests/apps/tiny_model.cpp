#include "apps/tiny_model.h"

#include <cstring>

#include "apps/files.h"
#include "support/random_checkpoint.h"

namespace terse::test {
namespace {

using nlohmann::json;

json tiny_tokenizer() {
  const std::string characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ";
  json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (const char character : characters) {
    vocabulary[std::string(1, character)] = vocabulary.size();
  }
  vocabulary["\n"] = vocabulary.size();
  json added = json::array();
  for (const char* token : {"<unk>", "<s>", "</s>"}) {
    added.push_back({{"id", vocabulary[token]},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Fuse"}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"vocab", vocabulary},
            {"merges", json::array()}}}};
}

}  // namespace

json tiny_config() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 67},
          {"hidden_size", 128},
          {"intermediate_size", 256},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 32},
          {"hidden_act", "silu"},
          {"max_position_embeddings", 256},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"tie_word_embeddings", true},
          {"bos_token_id", 1},
          {"eos_token_id", 2}};
}

void write_tiny_model(const std::filesystem::path& directory, const json& config) {
  write_checkpoint(random_checkpoint("tiny", config), directory, "BF16");
  write_text(directory / "tokenizer.json", tiny_tokenizer().dump());
  write_text(directory / "tokenizer_config.json",
             json{{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", true}}.dump());
}

std::string tiny_text(std::size_t length) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) {
    text += i % 7 == 6 ? ' ' : static_cast<char>('a' + i * i % 26);
  }
  return text;
}

SafetensorsParts read_parts(const std::filesystem::path& path) {
  const std::string file = read_text(path);
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof size);
  return {json::parse(file.substr(8, size)), file.substr(8 + size)};
}

void write_parts(const std::filesystem::path& path, const SafetensorsParts& parts) {
  std::string header = parts.header.dump();
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::uint64_t size = header.size();
  std::string file(reinterpret_cast<const char*>(&size), sizeof size);
  write_text(path, file + header + parts.data);
}

void poke(const std::filesystem::path& path, const std::string& tensor, std::size_t index,
          std::uint16_t value) {
  SafetensorsParts parts = read_parts(path);
  const std::size_t begin = parts.header.at(tensor).at("data_offsets").at(0);
  std::memcpy(parts.data.data() + begin + 2 * index, &value, sizeof value);
  write_parts(path, parts);
}

}  // namespace terse::test
