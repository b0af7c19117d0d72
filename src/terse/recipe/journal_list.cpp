#include "terse/recipe/journal_list.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "terse/core/error.h"

namespace terse {
namespace {

// Files lie in the folder of the list, and nowhere else.
std::string get_file(const Json& json, const char* key) {
  std::string name = get_string(json, key);
  if (name == "." || name == ".." ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    throw bad_input("key '{}': '{}' is not the name of a file in the folder", key, name);
  }
  return name;
}

Json part_json(const PartRecord& part) {
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
  part.file = get_file(json, "file");
  part.digest = get_string(json, "digest");
  for (const Json& linear : get_array(json, "linears")) {
    part.linears.push_back(parse_linear_report(linear));
  }
  part.notes = get_array(json, "notes").get<std::vector<std::string>>();
  part.exact_file = get_file(json, "exact_file");
  part.exact_digest = get_string(json, "exact_digest");
  part.exact_storage = get_object(json, "exact_storage").get<std::map<std::string, Json>>();
  for (const auto& entry : part.exact_storage) {
    if (std::ranges::find(part.linears, entry.first, &LinearReport::module) == part.linears.end()) {
      throw bad_input("'exact_storage' names {}, which is not among 'linears'", entry.first);
    }
  }
  return part;
}

Json adapter_json(const AdapterRecord& adapter) {
  return {{"config_file", adapter.config_file},
          {"config_digest", adapter.config_digest},
          {"tensors_file", adapter.tensors_file},
          {"tensors_digest", adapter.tensors_digest}};
}

AdapterRecord parse_adapter(const Json& json) {
  AdapterRecord adapter{get_file(json, "config_file"), get_string(json, "config_digest"),
                        get_file(json, "tensors_file"), get_string(json, "tensors_digest")};
  if (adapter.config_file.empty() || adapter.tensors_file.empty()) {
    throw bad_input("'adapter' names no files");
  }
  return adapter;
}

Json pass_json(const PassRecord& pass) {
  Json json = {{"allocated", pass.allocated},
               {"shares", Json::array()},
               {"blocks", Json::array()},
               {"activations_block", pass.activations_block},
               {"activations_file", pass.activations_file},
               {"activations_digest", pass.activations_digest}};
  for (const auto& [step, table] : pass.shares) {
    json["shares"].push_back({{"step", step}, {"by_module", table}});
  }
  for (const PartRecord& part : pass.blocks) json["blocks"].push_back(part_json(part));
  if (pass.adapter) json["adapter"] = adapter_json(*pass.adapter);
  if (pass.ratio) json["ratio"] = *pass.ratio;
  if (!pass.losses.empty()) json["losses"] = pass.losses;
  if (pass.kept) json["kept"] = to_json(*pass.kept);
  return json;
}

// A loss that is no number is written as null.
std::vector<double> parse_losses(const Json& json) {
  std::vector<double> losses;
  for (const Json& loss : json) {
    if (!loss.is_number() && !loss.is_null()) throw bad_input("'losses': expected numbers");
    losses.push_back(loss.is_null() ? std::numeric_limits<double>::quiet_NaN()
                                    : loss.get<double>());
  }
  return losses;
}

PassRecord parse_pass(const Json& json) {
  PassRecord pass;
  pass.allocated = get_bool(json, "allocated", false);
  for (const Json& row : get_array(json, "shares")) {
    const std::int64_t step = get_integer(row, "step");
    const auto table = get_object(row, "by_module").get<std::map<std::string, double>>();
    const auto is_share = [](const auto& entry) { return entry.second >= 0 && entry.second <= 1; };
    if (step < 0 || !std::ranges::all_of(table, is_share)) {
      throw bad_input("'shares' of step {}: expected numbers from 0 to 1", step);
    }
    pass.shares[static_cast<std::size_t>(step)] = table;
  }
  for (const Json& part : get_array(json, "blocks")) pass.blocks.push_back(parse_part(part));
  pass.activations_block = get_integer(json, "activations_block");
  pass.activations_file = get_file(json, "activations_file");
  pass.activations_digest = get_string(json, "activations_digest");
  const auto blocks = static_cast<std::int64_t>(pass.blocks.size());
  const bool kept = !pass.activations_file.empty();
  if (kept ? pass.activations_block < 1 || pass.activations_block > blocks
           : pass.activations_block != -1) {
    throw bad_input("'activations_block' is {} after {} blocks", pass.activations_block, blocks);
  }
  if (has_key(json, "adapter")) pass.adapter = parse_adapter(get_object(json, "adapter"));
  if (has_key(json, "ratio")) pass.ratio = get_number(json, "ratio");
  if (has_key(json, "losses")) pass.losses = parse_losses(get_array(json, "losses"));
  if (has_key(json, "kept")) pass.kept = parse_kept_blocks(get_array(json, "kept"));
  return pass;
}

JournalList parse_list(const Json& json) {
  JournalList list;
  list.identity = get_object(json, "identity");
  for (const Json& pass : get_array(json, "passes")) list.passes.push_back(parse_pass(pass));
  if (has_key(json, "embeddings")) list.embeddings = parse_part(get_object(json, "embeddings"));
  list.tokens_digest = get_string(json, "tokens_digest");
  return list;
}

}  // namespace

void PassRecord::forget_activations() {
  activations_block = -1;
  activations_file.clear();
  activations_digest.clear();
}

JournalList JournalList::empty(Json identity, std::size_t passes) {
  return {std::move(identity), std::vector<PassRecord>(passes), std::nullopt, ""};
}

Json to_json(const JournalList& list) {
  Json json = {{"identity", list.identity},
               {"passes", Json::array()},
               {"tokens_digest", list.tokens_digest}};
  for (const PassRecord& pass : list.passes) json["passes"].push_back(pass_json(pass));
  if (list.embeddings) json["embeddings"] = part_json(*list.embeddings);
  return json;
}

JournalList parse_journal_list(std::string_view text) {
  const Json json = parse_json(text);
  try {
    return parse_list(json);
  } catch (const Json::exception& error) {
    throw bad_input("{}", error.what());
  }
}

bool fits(const JournalList& list, std::size_t passes, std::size_t blocks) {
  if (list.passes.size() != passes) return false;
  bool complete = true;  // the passes so far
  for (const PassRecord& pass : list.passes) {
    if (!complete && pass != PassRecord{}) return false;
    if (pass.blocks.size() > blocks) return false;
    if (pass.adapter && pass.blocks.size() < blocks) return false;
    complete = complete && pass.blocks.size() == blocks;
  }
  return complete || !list.embeddings;
}

}  // namespace terse
