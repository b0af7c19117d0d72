// What an unfinished run has done: written after each block, so that a run that was killed at any
// moment goes on where it was.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/json.h"
#include "terse/formats/peft_adapter.h"
#include "terse/recipe/journal_list.h"

namespace terse {

/// What makes two runs the same: a resumed run must give the bytes of an uninterrupted one.
struct RunIdentity {
  Json recipe;       ///< to_json(Recipe)
  Json model;        ///< Of every file: size, time of its last change, digest of its header.
  Json calibration;  ///< Of every file: size and digest.
  Json training;     ///< The same, and of adapters and a teacher of its own.
  Json importance;   ///< Of the scores as of the model; null without.
  Json program;      ///< Version and instruction set.

  std::string digest() const;
};

/// Where a step that changes the shape has its journal, in the folder of the run's.
std::filesystem::path shape_folder(const std::filesystem::path& work, std::size_t step);

/// Errors: bad_input when a file cannot be read.
RunIdentity identify_run(const Recipe& recipe, const Checkpoint& checkpoint);

/// The journal of a run: a folder with parts, activations, calibration tokens and the list of them.
/// A file named in the list is complete and durable; others are of no account.
class Journal {
 public:
  /// Continues what is in `folder`: the parts up to the first that is not there as the list says,
  /// and nothing when there is no list or it cannot be read. Files that the list does not name are
  /// removed. Errors: bad_input when it is of another run: says what differs.
  Journal(std::filesystem::path folder, const RunIdentity& identity, std::size_t passes,
          std::size_t blocks);

  /// Whether a folder holds the list of a run.
  static bool exists(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path path(const std::string& file) const { return folder_ / file; }

  /// Where a pass that learns keeps what it goes on from.
  std::filesystem::path training_folder(std::size_t pass) const;

  PassRecord& pass(std::size_t index) { return list_.passes[index]; }
  const std::vector<PassRecord>& passes() const { return list_.passes; }

  bool has_tokens() const;
  /// Errors: bad_input.
  CalibrationTokens tokens() const;
  void keep_tokens(const CalibrationTokens& tokens);

  const std::optional<PartRecord>& embeddings() const { return list_.embeddings; }
  void keep_embeddings(PartRecord part) { list_.embeddings = std::move(part); }

  /// Forgets the parts of a pass and of those after it; not on disk.
  void forget_from(std::size_t pass);

  /// Writes a part's files; call `save` to make it count. Errors: failed.
  PartRecord write_part(const std::string& name, const BlockResult& result) const;

  /// The same for an adapter that a pass trained.
  AdapterRecord write_adapter(const std::string& name, const PeftAdapter& adapter) const;

  /// Writes the list, durably and at once. Errors: failed.
  void save() const;

 private:
  bool load(const RunIdentity& identity, std::size_t passes, std::size_t blocks);
  bool is_whole(const std::string& file, const std::string& digest) const;
  bool is_whole(const PartRecord& part) const;
  bool is_whole(const AdapterRecord& adapter) const;
  void forget_damaged();
  void forget_damaged_activations(PassRecord& pass) const;
  void remove_unlisted(bool keep_training) const;

  std::filesystem::path folder_;
  JournalList list_;
};

}  // namespace terse
