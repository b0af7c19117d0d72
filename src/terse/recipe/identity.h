// What makes two runs the same, as JSON: a resumed run must give the bytes of an uninterrupted one.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/checkpoint.h"

namespace terse {

/// Of every file of a model: size, time of its last change, digest of its header. Errors: bad_input
/// when a file cannot be read.
Json model_identity(const Checkpoint& checkpoint);

/// The digest of every byte of a model's weights and config.json, by the names of the files: the
/// same for a copy elsewhere, where `model_identity` is cheap. Errors: bad_input.
std::map<std::string, std::string> model_digests(const Checkpoint& checkpoint);

/// Of the file of importance scores of a recipe, in the same words; null where there is none.
/// Errors: bad_input when it is no safetensors file.
Json importance_identity(const std::filesystem::path& file);

/// Of every file of text or of token ids, and of the tokenizer where text is read: size and digest.
/// Errors: bad_input.
Json text_identity(const std::vector<std::filesystem::path>& texts,
                   const std::filesystem::path& token_file, const std::filesystem::path& model);

/// The same of single files.
Json files_identity(const std::vector<std::filesystem::path>& paths);

/// Version and instruction set.
Json program_identity();

/// Errors: bad_input naming the first of the keys `what` in which an unfinished output differs.
void require_same_run(const std::filesystem::path& output, const std::vector<std::string>& what,
                      const Json& before, const Json& now);

}  // namespace terse
