#include "terse/model/storage_config.h"
#include <algorithm>
#include "terse/formats/quantization_config.h"
namespace terse {
void add_storage_config(Json& config, const Model& model, const std::map<std::string, Json>& storage) {
  std::map<Json, std::vector<std::string>> groups, embedding_groups;
  std::vector<std::string> ignore;
  const auto& a = model.architecture();
  for (std::int64_t b = 0; b < a.num_hidden_layers; ++b)
    for (const auto& e : a.linears) {
      const std::string m = model.linear_module(b, e.first);
      const auto found = storage.find(m);
      if (found == storage.end() || found->second.is_null()) ignore.push_back(m);
      else groups[found->second.at("quantization")].push_back(m);
    }
  std::ranges::sort(ignore);
  for (const std::string& m : {model.embedding_module(), model.head_module()}) {
    auto found = storage.find(m);
    if (found == storage.end() && model.tied()) found = storage.find(model.tied_module());
    if (found != storage.end() && !found->second.is_null()) embedding_groups[found->second.at("quantization")].push_back(m);
  }
  if (groups.empty() && embedding_groups.empty()) return;
  QuantizationConfig c;
  for (auto& [j, ms] : groups) {
    Json g = {{"config_groups", {{"group_0", j}}}, {"format", "pack-quantized"}, {"quant_method", "compressed-tensors"}};
    g["config_groups"]["group_0"]["targets"] = (groups.size() == 1 && !a.conv1d) ? std::vector<std::string>{"Linear"} : ms;
    c.groups.push_back(QuantizationConfig::parse(g).groups.at(0));
  }
  for (auto& [j, ms] : embedding_groups) {
    Json g = {{"config_groups", {{"group_0", j}}}, {"format", "pack-quantized"}, {"quant_method", "compressed-tensors"}};
    g["config_groups"]["group_0"]["targets"] = ms;
    c.groups.push_back(QuantizationConfig::parse(g).groups.at(0));
  }
  c.ignore = ignore;
  if (embedding_groups.empty()) c.ignore.push_back(model.head_module());
  if (a.projected_embeddings) { c.ignore.push_back(model.project_in_module()); c.ignore.push_back(model.project_out_module()); }
  config["quantization_config"] = c.to_json();
}
}
