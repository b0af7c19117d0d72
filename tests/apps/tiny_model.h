// A model directory small enough to be made, and damaged, by every test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace terse::test {

// A Llama of two blocks with random bfloat16 weights: width 128, MLP of 256, 4 heads of 32 with 2
// key-value heads, context 256, 67 words, tied embeddings; 1 begins and 2 ends a text.
nlohmann::json tiny_config();

// Writes config.json, model.safetensors, and a tokenizer whose words are single characters:
// letters, digits, space and line end.
void write_tiny_model(const std::filesystem::path& directory,
                      const nlohmann::json& config = tiny_config());

// `length` characters that the tokenizer knows.
std::string tiny_text(std::size_t length);

// A safetensors file taken apart.
struct SafetensorsParts {
  nlohmann::json header;
  std::string data;
};

SafetensorsParts read_parts(const std::filesystem::path& path);
void write_parts(const std::filesystem::path& path, const SafetensorsParts& parts);

// Puts a bfloat16 into a tensor of a file.
void poke(const std::filesystem::path& path, const std::string& tensor, std::size_t index,
          std::uint16_t value);

}  // namespace terse::test
