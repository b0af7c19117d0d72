#include "terse/recipe/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/staging_directory.h"
#include "terse/recipe/identity.h"
#include "terse/recipe/learning_steps.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList = "journal.json";
constexpr const char* kTokens = "calibration.json";

Json to_json(const RunIdentity& identity) {
  return {{"program", identity.program},         {"model", identity.model},
          {"calibration", identity.calibration}, {"training", identity.training},
          {"importance", identity.importance},   {"recipe", identity.recipe}};
}

// Passes that learn look after their own files, and so do steps that change the shape: these have
// journals of their own.
constexpr std::string_view kTrainingFolder = "training-";
constexpr std::string_view kShapeFolder = "shape-";

// A file of the folder itself: nothing that leads out of it is followed.
bool is_file(const fs::path& path) {
  return fs::is_regular_file(fs::symlink_status(path));
}

}  // namespace

std::string RunIdentity::digest() const {
  Digest digest;
  digest.add(to_json(*this).dump());
  return digest.text();
}

RunIdentity identify_run(const Recipe& recipe, const Checkpoint& checkpoint) {
  RunIdentity identity;
  identity.recipe = to_json(recipe);
  identity.model = model_identity(checkpoint);
  identity.training =
      text_identity(recipe.training.text.texts, recipe.training.text.token_file, checkpoint.dir());
  identity.training.update(files_identity(learning_files(recipe)));
  if (!recipe.training.teacher.empty()) {
    identity.training["teacher"] = model_identity(Checkpoint::open(recipe.training.teacher));
  }
  identity.importance = importance_identity(recipe.importance);
  identity.calibration =
      text_identity(recipe.calibration.texts, recipe.calibration.token_file, checkpoint.dir());
  identity.program = program_identity();
  return identity;
}

bool Journal::exists(const fs::path& folder) {
  return is_file(folder / kList);
}

Journal::Journal(fs::path folder, const RunIdentity& identity, std::size_t passes,
                 std::size_t blocks)
    : folder_(std::move(folder)), list_(JournalList::empty(to_json(identity), passes)) {
  with_filesystem_errors([&] {
    fs::create_directories(folder_);
    sync_directory(folder_.parent_path());
    const bool loaded = exists(folder_) && load(identity, passes, blocks);
    forget_damaged();
    // Copies of training say nothing of the run that they are of.
    remove_unlisted(loaded);
  });
}

// The list is written at once, but a disk that lies may have torn it: it is no list then.
bool Journal::load(const RunIdentity& identity, std::size_t passes, std::size_t blocks) {
  JournalList list;
  try {
    list = parse_journal_list(read_file(folder_ / kList));
  } catch (const Error&) {
    return false;
  }
  require_same_run(folder_.parent_path(),
                   {"program", "model", "calibration", "training", "importance", "recipe"},
                   list.identity, to_json(identity));
  if (!fits(list, passes, blocks)) return false;
  list_ = std::move(list);
  return true;
}

bool Journal::is_whole(const std::string& file, const std::string& digest) const {
  return file.empty() || (is_file(path(file)) && file_digest(path(file)) == digest);
}

bool Journal::is_whole(const PartRecord& part) const {
  return is_whole(part.file, part.digest) && is_whole(part.exact_file, part.exact_digest);
}

bool Journal::is_whole(const AdapterRecord& adapter) const {
  return is_whole(adapter.config_file, adapter.config_digest) &&
         is_whole(adapter.tensors_file, adapter.tensors_digest);
}

// Files were durable before the list named them; a disk that lies may still have lost some. What
// was computed from them is given up too.
void Journal::forget_damaged() {
  if (!list_.tokens_digest.empty() && !is_whole(kTokens, list_.tokens_digest)) {
    list_.tokens_digest.clear();
  }
  for (std::size_t index = 0; index < list_.passes.size(); ++index) {
    PassRecord& pass = list_.passes[index];
    const auto damaged = std::ranges::find_if_not(
        pass.blocks, [&](const PartRecord& part) { return is_whole(part); });
    if (damaged != pass.blocks.end()) {
      pass.blocks.erase(damaged, pass.blocks.end());
      pass.adapter.reset();
      forget_from(index + 1);
    }
    if (pass.adapter && !is_whole(*pass.adapter)) forget_from(index);
    forget_damaged_activations(pass);
  }
  if (list_.embeddings && !is_whole(*list_.embeddings)) list_.embeddings.reset();
}

void Journal::forget_damaged_activations(PassRecord& pass) const {
  if (pass.activations_block <= static_cast<std::int64_t>(pass.blocks.size()) &&
      is_whole(pass.activations_file, pass.activations_digest)) {
    return;
  }
  pass.forget_activations();
}

// What a process that was killed had begun to write.
void Journal::remove_unlisted(bool keep_training) const {
  std::set<std::string> listed{kList};
  if (has_tokens()) listed.insert(kTokens);
  const auto list = [&](const PartRecord& part) {
    listed.insert(part.file);
    listed.insert(part.exact_file);
  };
  for (const PassRecord& pass : list_.passes) {
    std::ranges::for_each(pass.blocks, list);
    listed.insert(pass.activations_file);
    if (pass.adapter) listed.insert({pass.adapter->config_file, pass.adapter->tensors_file});
  }
  if (list_.embeddings) list(*list_.embeddings);
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (listed.contains(name) || name.starts_with(kShapeFolder) ||
        (keep_training && name.starts_with(kTrainingFolder))) {
      continue;
    }
    fs::remove_all(entry.path());
  }
}

fs::path Journal::training_folder(std::size_t pass) const {
  return folder_ / fmt::format("{}{}", kTrainingFolder, pass);
}

fs::path shape_folder(const fs::path& work, std::size_t step) {
  return work / fmt::format("{}{}", kShapeFolder, step);
}

bool Journal::has_tokens() const {
  return !list_.tokens_digest.empty();
}

CalibrationTokens Journal::tokens() const {
  const Json json = read_json(path(kTokens));
  return with_context(path(kTokens).string(), [&]() -> CalibrationTokens {
    try {
      return {get_integer(json, "window"),
              get_array(json, "windows").get<std::vector<std::vector<std::int32_t>>>(),
              get_string(json, "source")};
    } catch (const Json::exception& error) {
      throw bad_input("{}", error.what());
    }
  });
}

void Journal::keep_tokens(const CalibrationTokens& tokens) {
  const Json json = {
      {"window", tokens.window}, {"source", tokens.source}, {"windows", tokens.windows}};
  list_.tokens_digest = write_file(folder_ / kTokens, json.dump());
  save();
}

void Journal::forget_from(std::size_t pass) {
  for (; pass < list_.passes.size(); ++pass) list_.passes[pass] = {};
  list_.embeddings.reset();
}

PartRecord Journal::write_part(const std::string& name, const BlockResult& result) const {
  PartRecord part;
  part.linears = result.linears;
  part.notes = result.notes;
  part.exact_storage = result.exact_storage;
  if (!result.tensors.empty()) {
    part.file = name + ".safetensors";
    part.digest = write_safetensors(path(part.file), result.tensors);
  }
  if (!result.exact_tensors.empty()) {
    part.exact_file = name + "-exact.safetensors";
    part.exact_digest = write_safetensors(path(part.exact_file), result.exact_tensors);
  }
  return part;
}

AdapterRecord Journal::write_adapter(const std::string& name, const PeftAdapter& adapter) const {
  AdapterRecord record;
  record.config_file = name + ".json";
  record.config_digest =
      write_file(path(record.config_file), adapter.config.to_json().dump(2) + "\n");
  record.tensors_file = name + ".safetensors";
  record.tensors_digest =
      write_safetensors(path(record.tensors_file), peft_tensors(adapter), {{"format", "pt"}});
  return record;
}

void Journal::save() const {
  const std::string text = to_json(list_).dump();
  sync_directory(folder_);
  write_file(folder_ / kList, text);
  sync_directory(folder_);
}

}  // namespace terse
