// terse inspect: what a model directory holds.
#include <fmt/format.h>

#include "commands.h"
#include "terminal.h"
#include "terse/core/text.h"
#include "terse/model/inventory.h"

namespace terse::cli {
namespace {

struct Options {
  std::string model;
  bool json = false;
};

Json to_json(const Model& model, const Inventory& inventory) {
  const Architecture& a = model.architecture();
  Json report = {{"family", a.family},
                 {"parameters", inventory.parameters},
                 {"bytes", inventory.bytes},
                 {"bits_per_weight", inventory.bits_per_weight()},
                 {"tie_word_embeddings", a.tie_word_embeddings},
                 {"dtype", dtype_torch_name(model.dtype())},
                 {"hidden_size", a.hidden_size},
                 {"num_hidden_layers", a.num_hidden_layers},
                 {"num_attention_heads", a.num_attention_heads},
                 {"num_key_value_heads", a.num_key_value_heads},
                 {"head_dim", a.head_dim},
                 {"intermediate_size", a.intermediate_size},
                 {"vocab_size", a.vocab_size},
                 {"max_position_embeddings", a.max_position_embeddings},
                 {"compressed_modules", inventory.compressed_modules},
                 {"roles", Json::array()}};
  if (a.num_experts > 0) {
    report["num_experts"] = a.num_experts;
    report["num_experts_per_tok"] = a.experts.per_token;
  }
  for (const InventoryRow& row : inventory.rows) {
    report["roles"].push_back({{"role", row.role},
                               {"count", row.count},
                               {"parameters", row.parameters},
                               {"bytes", row.bytes},
                               {"bits_per_weight", row.bits_per_weight()},
                               {"kind", row.kind}});
  }
  for (std::size_t block = 0; block < a.block_shapes.size(); ++block) {
    const BlockShape& shape = a.block_shapes[block];
    report["blocks"].push_back({{"num_attention_heads", shape.num_attention_heads},
                                {"num_key_value_heads", shape.num_key_value_heads},
                                {"intermediate_size", shape.intermediate_size}});
    if (a.num_experts > 0) report["blocks"].back()["num_experts"] = shape.num_experts;
  }
  return report;
}

void print_shapes(const Architecture& a) {
  if (a.block_shapes.empty()) return;
  fmt::print("{:<10}{:>8}{:>12}{:>10}{}\n", "block", "heads", "key-value", "MLP",
             a.num_experts > 0 ? "   experts" : "");
  for (std::size_t block = 0; block < a.block_shapes.size(); ++block) {
    const BlockShape& shape = a.block_shapes[block];
    fmt::print("{:<10}{:>8}{:>12}{:>10}", block, shape.num_attention_heads,
               shape.num_key_value_heads, shape.intermediate_size);
    if (a.num_experts > 0) fmt::print("{:>10}", shape.num_experts);
    fmt::print("\n");
  }
  fmt::print("\n");
}

void print(const Model& model, const Inventory& inventory) {
  const Architecture& a = model.architecture();
  fmt::print(
      "{}: {} blocks of {}, {} heads of {} ({} key-value), MLP of {}, vocabulary {}, context {}\n",
      a.family, a.num_hidden_layers, a.hidden_size, a.num_attention_heads, a.head_dim,
      a.num_key_value_heads, a.intermediate_size, a.vocab_size, a.max_position_embeddings);
  if (a.num_experts > 0) {
    fmt::print("{} experts, of which each token takes {}\n", a.num_experts, a.experts.per_token);
  }
  fmt::print("{} parameters, {}, {:.3f} bits per weight, embedding and head {}\n\n",
             count_text(inventory.parameters), bytes_text(inventory.bytes),
             inventory.bits_per_weight(), a.tie_word_embeddings ? "tied" : "not tied");
  print_shapes(a);
  fmt::print("{:<26}{:>6}{:>16}{:>12}{:>12}  {}\n", "role", "count", "parameters", "bytes",
             "bits/weight", "stored as");
  for (const InventoryRow& row : inventory.rows) {
    fmt::print("{:<26}{:>6}{:>16}{:>12}{:>12.3f}  {}\n", row.role, row.count,
               count_text(row.parameters), bytes_text(row.bytes), row.bits_per_weight(), row.kind);
  }
  if (inventory.compressed_modules > 0)
    fmt::print("\n{} modules are compressed\n", inventory.compressed_modules);
}

void inspect(const Options& options) {
  const Model model = Model::open(options.model);
  const Inventory inventory = take_inventory(model);
  if (options.json) {
    print_json(to_json(model, inventory));
  } else {
    print(model, inventory);
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show family, parameters by role, bytes, bits per weight, and what is compressed");
  command->footer("Example:\n  terse inspect models/docs-llama");
  command->add_option("model", options->model, "Model directory")->required();
  add_json_flag(*command, options->json);
  command->callback([options] { inspect(*options); });
}

}  // namespace terse::cli
