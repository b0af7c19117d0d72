#include "terse/recipe/journal.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/version.h"
#include "terse/formats/staging_directory.h"
#include "terse/kernels/instruction_set.h"
#include "terse/recipe/difference.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList = "journal.json";
constexpr const char* kTokens = "calibration.json";

Json model_identity(const Checkpoint& checkpoint) {
  Json files = Json::object();
  for (const SafetensorsFile& file : checkpoint.files()) {
    struct stat status = {};
    if (::stat(file.path().c_str(), &status) != 0) {
      throw bad_input("{}: cannot be read", file.path().string());
    }
    Digest header;
    header.add(file.header_bytes());
    files[file.path().filename().string()] = {
        {"bytes", status.st_size},
        {"changed", fmt::format("{}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec)},
        {"header", header.text()}};
  }
  files["config.json"] = {{"digest", file_digest(checkpoint.dir() / "config.json")}};
  return files;
}

void add_file(Json& files, const fs::path& path) {
  if (!fs::exists(path)) throw bad_input("{}: no such file", path.string());
  files[path.string()] = {{"bytes", fs::file_size(path)}, {"digest", file_digest(path)}};
}

Json calibration_identity(const CalibrationSettings& settings, const Checkpoint& checkpoint) {
  Json files = Json::object();
  with_filesystem_errors([&] {
    for (const fs::path& text : settings.texts) {
      if (!fs::is_directory(text)) {
        add_file(files, text);
        continue;
      }
      for (const auto& entry : fs::recursive_directory_iterator(text)) {
        if (entry.is_regular_file()) add_file(files, entry.path());
      }
    }
    if (!settings.token_file.empty()) add_file(files, settings.token_file);
    const fs::path tokenizer = checkpoint.dir() / "tokenizer.json";
    if (!settings.texts.empty() && fs::exists(tokenizer)) add_file(files, tokenizer);
  });
  return files;
}

Json to_json(const RunIdentity& identity) {
  return {{"program", identity.program},
          {"model", identity.model},
          {"calibration", identity.calibration},
          {"recipe", identity.recipe}};
}

Json to_json(const PartRecord& part) {
  Json json = {{"file", part.file},
               {"digest", part.digest},
               {"linears", Json::array()},
               {"notes", part.notes},
               {"exact_file", part.exact_file},
               {"exact_digest", part.exact_digest},
               {"exact_storage", part.exact_storage}};
  for (const LinearReport& linear : part.linears) json["linears"].push_back(to_json(linear));
  return json;
}

PartRecord parse_part(const Json& json) {
  PartRecord part;
  part.file = get_string(json, "file");
  part.digest = get_string(json, "digest");
  for (const Json& linear : get_array(json, "linears")) {
    part.linears.push_back(parse_linear_report(linear));
  }
  part.notes = get_array(json, "notes").get<std::vector<std::string>>();
  part.exact_file = get_string(json, "exact_file");
  part.exact_digest = get_string(json, "exact_digest");
  part.exact_storage = get_object(json, "exact_storage").get<std::map<std::string, Json>>();
  return part;
}

Json to_json(const PassRecord& pass) {
  Json json = {{"allocated", pass.allocated},
               {"sparsities", Json::array()},
               {"blocks", Json::array()},
               {"activations_block", pass.activations_block},
               {"activations_file", pass.activations_file},
               {"activations_digest", pass.activations_digest}};
  for (const auto& [step, table] : pass.sparsities) {
    json["sparsities"].push_back({{"step", step}, {"by_module", table}});
  }
  for (const PartRecord& part : pass.blocks) json["blocks"].push_back(to_json(part));
  return json;
}

PassRecord parse_pass(const Json& json) {
  PassRecord pass;
  pass.allocated = get_bool(json, "allocated", false);
  for (const Json& row : get_array(json, "sparsities")) {
    pass.sparsities[static_cast<std::size_t>(get_integer(row, "step"))] =
        get_object(row, "by_module").get<std::map<std::string, double>>();
  }
  for (const Json& part : get_array(json, "blocks")) pass.blocks.push_back(parse_part(part));
  pass.activations_block = get_integer(json, "activations_block");
  pass.activations_file = get_string(json, "activations_file");
  pass.activations_digest = get_string(json, "activations_digest");
  return pass;
}

std::string write_tensors(const fs::path& path, const std::vector<NamedTensor>& tensors) {
  SafetensorsWriter writer(path);
  for (const NamedTensor& tensor : tensors) writer.add(tensor.name, tensor.tensor);
  writer.commit();
  return file_digest(path);
}

// A list that was torn, or that names files which are gone or torn, is no list.
class Damaged : public std::exception {};

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
  identity.calibration = calibration_identity(recipe.calibration, checkpoint);
  identity.program = {
      {"version", std::string(version())},
      {"instruction_set", std::string(kernels::instruction_set_name(kernels::instruction_set()))}};
  return identity;
}

Journal::Journal(fs::path folder, const RunIdentity& identity, std::size_t passes)
    : folder_(std::move(folder)), identity_(to_json(identity)) {
  with_filesystem_errors([&] { fs::create_directories(folder_); });
  if (!fs::exists(folder_ / kList)) {
    passes_.resize(passes);
    return;
  }
  try {
    Json json;
    try {
      json = read_json(folder_ / kList);
    } catch (const Error&) {
      throw Damaged();
    }
    try {
      load(json, identity);
    } catch (const Json::exception&) {
      throw Damaged();
    }
    verify();
  } catch (const Damaged&) {
    passes_.assign(passes, {});
    embeddings.reset();
    tokens_digest_.clear();
  }
}

void Journal::load(const Json& json, const RunIdentity& identity) {
  const Json& before = get_object(json, "identity");
  const Json now = to_json(identity);
  for (const char* what : {"program", "model", "calibration", "recipe"}) {
    if (before.at(what) == now.at(what)) continue;
    throw bad_input(
        "{}: is unfinished, and the {} has changed since: {}; use --restart to begin again",
        folder_.parent_path().string(), what, first_difference(before.at(what), now.at(what)));
  }
  for (const Json& pass : get_array(json, "passes")) passes_.push_back(parse_pass(pass));
  if (has_key(json, "embeddings")) embeddings = parse_part(get_object(json, "embeddings"));
  tokens_digest_ = get_string(json, "tokens_digest");
}

// Files were durable before the list named them; a disk that lies may still have lost some.
void Journal::verify() const {
  const auto check = [&](const std::string& file, const std::string& digest) {
    if (file.empty()) return;
    if (!fs::exists(path(file)) || file_digest(path(file)) != digest) throw Damaged();
  };
  const auto check_part = [&](const PartRecord& part) {
    check(part.file, part.digest);
    check(part.exact_file, part.exact_digest);
  };
  for (const PassRecord& pass : passes_) {
    for (const PartRecord& part : pass.blocks) check_part(part);
    check(pass.activations_file, pass.activations_digest);
  }
  if (embeddings) check_part(*embeddings);
  if (!tokens_digest_.empty()) check(kTokens, tokens_digest_);
}

bool Journal::has_progress() const {
  return std::ranges::any_of(passes_, [](const PassRecord& pass) {
    return pass.allocated || !pass.blocks.empty();
  });
}

bool Journal::has_tokens() const {
  return !tokens_digest_.empty();
}

CalibrationTokens Journal::tokens() const {
  const Json json = read_json(folder_ / kTokens);
  return {get_integer(json, "window"),
          get_array(json, "windows").get<std::vector<std::vector<std::int32_t>>>(),
          get_string(json, "source")};
}

void Journal::keep_tokens(const CalibrationTokens& tokens) {
  const Json json = {
      {"window", tokens.window}, {"source", tokens.source}, {"windows", tokens.windows}};
  write_file(folder_ / kTokens, json.dump());
  tokens_digest_ = file_digest(folder_ / kTokens);
  save();
}

void Journal::forget_from(std::size_t pass) {
  for (; pass < passes_.size(); ++pass) passes_[pass] = {};
  embeddings.reset();
}

void Journal::keep_activations(PassRecord& pass, std::int64_t block,
                               const std::string& file) const {
  pass.activations_block = block;
  pass.activations_file = file;
  pass.activations_digest = file_digest(path(file));
}

PartRecord Journal::write_part(const std::string& name, const BlockResult& result) const {
  PartRecord part;
  part.linears = result.linears;
  part.notes = result.notes;
  part.exact_storage = result.exact_storage;
  if (!result.tensors.empty()) {
    part.file = name + ".safetensors";
    part.digest = write_tensors(path(part.file), result.tensors);
  }
  if (!result.exact_tensors.empty()) {
    part.exact_file = name + "-exact.safetensors";
    part.exact_digest = write_tensors(path(part.exact_file), result.exact_tensors);
  }
  return part;
}

void Journal::save() const {
  Json json = {{"identity", identity_}, {"passes", Json::array()}, {"tokens_digest", tokens_digest_}};
  for (const PassRecord& pass : passes_) json["passes"].push_back(to_json(pass));
  if (embeddings) json["embeddings"] = to_json(*embeddings);
  sync_directory(folder_);
  write_file(folder_ / kList, json.dump());
  sync_directory(folder_);
}

}  // namespace terse
