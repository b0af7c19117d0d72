// What an unfinished run has done: written after each block, so that a run that was killed at any
// moment goes on where it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "terse/core/json.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// What makes two runs the same: a resumed run must give the bytes of an uninterrupted one.
struct RunIdentity {
  Json recipe;       ///< to_json(Recipe)
  Json model;        ///< Of every file: size, time of its last change, digest of its header.
  Json calibration;  ///< Of every file: size and digest.
  Json program;      ///< Version and instruction set.

  std::string digest() const;
};

/// Errors: bad_input when a file cannot be read.
RunIdentity identify_run(const Recipe& recipe, const Checkpoint& checkpoint);

/// What was written of one block, or of the embeddings.
struct PartRecord {
  std::string file;    ///< In the folder of the journal; empty when nothing of it changed.
  std::string digest;  ///< Of the file.
  std::vector<LinearReport> linears;
  std::vector<std::string> notes;
  std::string exact_file;  ///< Weights that later blocks see, where `file` rounds them; or empty.
  std::string exact_digest;
  std::map<std::string, Json> exact_storage;  ///< Weight::config by module.
};

/// The parts of one pass, block after block.
struct PassRecord {
  AllocatedSparsities sparsities;
  bool allocated = false;
  std::vector<PartRecord> blocks;
  /// Activations that go into block `activations_block` (-1: none were kept).
  std::int64_t activations_block = -1;
  std::string activations_file;
  std::string activations_digest;
};

/// The journal of a run: a folder with parts, activations, calibration tokens and the list of them.
/// A file named in the list is complete and durable; others are of no account.
class Journal {
 public:
  /// Continues what is in `folder`, or begins anew when there is nothing or when files do not hold
  /// what the list says. Errors: bad_input when it is of another run: says what differs.
  Journal(std::filesystem::path folder, const RunIdentity& identity, std::size_t passes);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path path(const std::string& file) const { return folder_ / file; }

  /// Whether anything that was computed is kept.
  bool has_progress() const;

  PassRecord& pass(std::size_t index) { return passes_[index]; }
  const std::vector<PassRecord>& passes() const { return passes_; }

  bool has_tokens() const;
  CalibrationTokens tokens() const;
  void keep_tokens(const CalibrationTokens& tokens);

  std::optional<PartRecord> embeddings;

  /// Forgets the parts of a pass and of those after it; not on disk.
  void forget_from(std::size_t pass);

  /// Notes a file in the folder as the activations that go into a block.
  void keep_activations(PassRecord& pass, std::int64_t block, const std::string& file) const;

  /// Writes a part's files; call `save` to make it count. Errors: failed.
  PartRecord write_part(const std::string& name, const BlockResult& result) const;

  /// Writes the list, durably and at once. Errors: failed.
  void save() const;

 private:
  void load(const Json& json, const RunIdentity& identity);
  void verify() const;

  std::filesystem::path folder_;
  Json identity_;
  std::vector<PassRecord> passes_;
  std::string tokens_digest_;
};

}  // namespace terse
