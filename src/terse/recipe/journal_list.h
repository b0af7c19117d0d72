// What an unfinished run has finished, as a list: its text form.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terse/core/json.h"
#include "terse/model/kept_units.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/schedule.h"

namespace terse {

/// What was written of one block, or of the embeddings.
struct PartRecord {
  std::string file;    ///< In the folder of the journal; empty when nothing of it changed.
  std::string digest;  ///< Of the file.
  std::vector<LinearReport> linears;
  std::vector<std::string> notes;
  std::string exact_file;  ///< Weights that later blocks see, where `file` rounds them; or empty.
  std::string exact_digest;
  std::map<std::string, Json> exact_storage;  ///< Weight::config by module.

  bool operator==(const PartRecord&) const = default;
};

/// An adapter that a pass trained, in PEFT's format.
struct AdapterRecord {
  std::string config_file;
  std::string config_digest;
  std::string tensors_file;
  std::string tensors_digest;

  bool operator==(const AdapterRecord&) const = default;
};

/// The parts of one pass, block after block.
struct PassRecord {
  AllocatedShares shares;
  bool allocated = false;
  /// The ratio that was found for a step that changes the shape (ratio_target.h), and what it
  /// chose.
  std::optional<double> ratio;
  /// The losses of models that it asked for so far (journaled_evaluator.h); none after it chose.
  std::vector<double> losses;
  std::optional<std::vector<KeptBlock>> kept;
  std::vector<PartRecord> blocks;
  /// Activations that go into block `activations_block` (-1: none were kept).
  std::int64_t activations_block = -1;
  std::string activations_file;
  std::string activations_digest;
  std::optional<AdapterRecord> adapter;  ///< Only beside the parts of all blocks.

  void forget_activations();

  bool operator==(const PassRecord&) const = default;
};

/// Everything that a run has finished.
struct JournalList {
  Json identity;
  std::vector<PassRecord> passes;
  std::optional<PartRecord> embeddings;
  std::string tokens_digest;  ///< Empty: no calibration tokens were kept.

  /// The list of a run that has done nothing.
  static JournalList empty(Json identity, std::size_t passes);

  bool operator==(const JournalList&) const = default;
};

Json to_json(const JournalList& list);

/// Reads what `to_json` gave. Errors: bad_input for everything else, such as files that are not
/// plain names and activations ahead of the blocks.
JournalList parse_journal_list(std::string_view text);

/// Whether a run of so many passes over so many blocks can have written the list.
bool fits(const JournalList& list, std::size_t passes, std::size_t blocks);

}  // namespace terse
