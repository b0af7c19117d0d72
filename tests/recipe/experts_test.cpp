// Models with experts through recipes: what each expert is compressed by, what stays as it is, and
// what is refused.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/edited_checkpoint.h"
#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/logits.h"
#include "support/reference_safetensors.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/model/inventory.h"
#include "terse/model/routes.h"
#include "terse/recipe/calibration.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/memory_plan.h"
#include "terse/recipe/plan.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using testing::HasSubstr;

constexpr int kWindow = 12;

class ExpertRecipes : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  void SetUp() override { write(checkpoint()); }

  virtual test::RandomCheckpoint checkpoint() const { return GetParam().checkpoint(); }

  void write(const test::RandomCheckpoint& checkpoint) {
    test::write_checkpoint(checkpoint, directory_ / "in", "F32");
    Json ids = Json::array();
    for (int i = 0; i < 30 * kWindow; ++i) ids.push_back((i * i + 5 * i) % 67);
    write_file(directory_ / "ids.json", ids.dump());
  }

  Recipe recipe(const std::string& steps) const {
    return parse_recipe(fmt::format("calibration: {{tokens: {}, window: {}}}\nsteps:\n{}",
                                    (directory_ / "ids.json").string(), kWindow, steps),
                        "test.yaml");
  }

  CompressionReport run(const std::string& name, const Recipe& recipe,
                        const RunSettings& settings = {.force = true}) const {
    Progress silent;
    return compress(directory_ / "in", directory_ / name, recipe, settings, silent);
  }

  Matrix logits(const std::string& name) const {
    return test::logits_of(Model::load(directory_ / name), {test::some_tokens(16, 67)});
  }

  Model loaded(const std::string& name) const {
    Model model = Model::open(directory_ / name);
    model.load_unprepared();
    return model;
  }

  test::TemporaryDirectory directory_;
};

const std::vector<std::string> kMethods{"{method: rtn, bits: 4, group_size: 4}",
                                        "{method: gptq, bits: 3, group_size: 4}",
                                        "{method: sparsegpt, sparsity: 0.5}",
                                        "{method: wanda, structure: \"2:4\"}",
                                        "{method: svd_llm, rank: 6, update: false}",
                                        "{method: magnitude, sparsity: 0.5}",
                                        "{method: lqer, rank: 2, bits: 3, group_size: 4}"};

// Every linear of every expert is changed, the router is not, and what was written computes what
// its dense twin computes.
TEST_P(ExpertRecipes, EveryMethodWorksOnExperts) {
  const Model before = loaded("in");
  const Architecture& a = before.architecture();
  for (const std::string& method : kMethods) {
    SCOPED_TRACE(method);
    Recipe steps = recipe("- " + method + "\n");
    const CompressionReport report = run("out", steps);
    const Model after = loaded("out");
    std::size_t linears = 0;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const auto& [key, linear] : before.block(block).linears) {
        const Matrix now = after.block(block).linears.at(key).weight->dense();
        EXPECT_FALSE(now == linear.weight->dense()) << linear.module;
        EXPECT_TRUE(now.allFinite());
        ++linears;
      }
      if (!a.has_experts(block)) continue;
      EXPECT_TRUE(after.block(block).router.weight->dense() ==
                  before.block(block).router.weight->dense());
    }
    EXPECT_EQ(report.linears.size(), linears);
    steps.output.dequantize = true;
    run("plain", steps);
    EXPECT_EQ(Checkpoint::open(directory_ / "plain").names(),
              Checkpoint::open(directory_ / "in").names());
    const Matrix plain = logits("plain");
    EXPECT_LE((logits("out") - plain).cwiseAbs().maxCoeff(), 1e-4F * plain.cwiseAbs().maxCoeff());
  }
}

// GPTQ sees what its own expert reads: the error that it reports of each is below that of rounding.
TEST_P(ExpertRecipes, GptqWinsOnTheRowsOfEachExpert) {
  const auto errors = [&](const std::string& method) {
    std::map<std::string, double> found;
    const Recipe steps = recipe(
        fmt::format("- {{method: {}, bits: 3, group_size: 4, targets: [\"experts\"]}}\n", method));
    for (const LinearReport& linear : run("out", steps).linears) {
      found[linear.module] = linear.relative_output_error.value();
    }
    return found;
  };
  const auto rounded = errors("rtn");
  double sum_rounded = 0;
  double sum = 0;
  for (const auto& [module, error] : errors("gptq")) {
    EXPECT_THAT(module, HasSubstr("experts."));
    sum += error;
    sum_rounded += rounded.at(module);
  }
  EXPECT_LT(sum, 0.9 * sum_rounded);
}

TEST_P(ExpertRecipes, ThePlanCountsExperts) {
  const Recipe steps = recipe("- {method: gptq, bits: 4, group_size: 4}\n");
  const Plan planned = plan(directory_ / "in", steps, 0, directory_.path());
  run("out", steps);
  const Inventory after = take_inventory(Model::open(directory_ / "out"));
  EXPECT_NEAR(static_cast<double>(planned.bytes), static_cast<double>(after.bytes),
              0.02 * static_cast<double>(after.bytes));
}

// What does not fit into memory waits in a file, with its routes.
TEST_P(ExpertRecipes, SpilledActivationsGiveTheSameBytes) {
  const Recipe steps = recipe("- {method: gptq, bits: 4, group_size: 4}\n");
  run("out", steps);
  const Model model = Model::open(directory_ / "in");
  const CalibrationSize size{30 * kWindow, kWindow};
  const Schedule schedule(model, steps.steps, size.tokens);
  const MemoryPlan memory = plan_memory(model, schedule, size, {}, ~std::uint64_t{0});
  run("spilled", steps, {.memory = memory.without_activations() + memory.activations / 2});
  EXPECT_EQ(read_file(directory_ / "spilled" / "model.safetensors"),
            read_file(directory_ / "out" / "model.safetensors"));
}

TEST_P(ExpertRecipes, RefuseWhatExpertsAreInTheWayOf) {
  const std::vector<std::string> refused{"awq",
                                         "smoothquant",
                                         "gqa, num_key_value_heads: 1",
                                         "autoround",
                                         "lora",
                                         "finetune",
                                         "distill",
                                         "qat",
                                         "flap",
                                         "wanda_sp",
                                         "block_pruner",
                                         "hidden_sp",
                                         "keep, intermediate_size: 2",
                                         "share, num_groups: 1",
                                         "slicegpt"};
  for (const std::string& method : refused) {
    SCOPED_TRACE(method);
    const auto steps = [&] { return recipe("- {method: " + method + "}\n"); };
    expect_error(ErrorKind::usage, "with experts", [&] {
      Recipe parsed = steps();
      parsed.training.text.token_file = directory_ / "ids.json";
      run("refused", parsed);
    });
    EXPECT_FALSE(fs::exists(directory_ / "refused"));
    EXPECT_FALSE(fs::exists(directory_ / "refused.part"));
  }
  expect_error(ErrorKind::usage, "with experts",
               [&] { run("refused", recipe("- {method: svd_llm, rank: 4, update: true}\n")); });
  Recipe padded = recipe("- {method: rtn, group_size: 4}\n");
  padded.output.pad = padded.output.dequantize = true;
  expect_error(ErrorKind::usage, "pad is not possible with experts",
               [&] { run("refused", padded); });
}

// A block that adds nothing to the residual stream can go, by name or because it does not turn it.
TEST_P(ExpertRecipes, BlocksCanGo) {
  const Model in = loaded("in");
  const std::int64_t silent = in.architecture().num_hidden_layers - 2;
  test::edit_checkpoint(directory_ / "in", directory_ / "silent",
                        [&, index = std::int64_t{0}](const Architecture&, Block& block) mutable {
                          if (index++ != silent) return;
                          for (auto& [key, linear] : block.linears) {
                            if (key.role != LinearRole::o_proj && key.role != LinearRole::down_proj)
                              continue;
                            const Weight& weight = *linear.weight;
                            test::replace_weight(
                                linear, Matrix::Zero(weight.rows(), weight.columns()), false);
                            linear.bias.setZero();
                          }
                        });
  std::string others;
  for (std::int64_t block = 0; block < in.architecture().num_hidden_layers; ++block) {
    if (block != silent) others += fmt::format("{}{}", others.empty() ? "" : ",", block);
  }
  const Matrix before = logits("silent");
  for (const std::string& method :
       {fmt::format("keep, blocks: \"{}\"", others),
        fmt::format("shortgpt, num_hidden_layers: {}", in.architecture().num_hidden_layers - 1)}) {
    SCOPED_TRACE(method);
    Progress quiet;
    compress(directory_ / "silent", directory_ / "out", recipe("- {method: " + method + "}\n"),
             {.force = true}, quiet);
    EXPECT_EQ(loaded("out").architecture().num_hidden_layers,
              in.architecture().num_hidden_layers - 1);
    EXPECT_FALSE(has_key(Checkpoint::open(directory_ / "out").config(), "terse_config"));
    EXPECT_LE((logits("out") - before).cwiseAbs().maxCoeff(), 1e-4F * before.cwiseAbs().maxCoeff());
  }
}

std::vector<test::FamilyVariant> variants_with_experts() {
  std::vector<test::FamilyVariant> variants = test::family_variants();
  std::erase_if(variants, [](const test::FamilyVariant& variant) {
    return !variant.config.contains("num_experts_per_tok");
  });
  return variants;
}

INSTANTIATE_TEST_SUITE_P(Families, ExpertRecipes, testing::ValuesIn(variants_with_experts()),
                         [](const auto& tested) { return tested.param.name; });

class ExpertRecipe : public ExpertRecipes {
 protected:
  test::RandomCheckpoint checkpoint() const override { return test::family_variant("mixtral"); }

  // What an expert reads before its first linears, of all windows, by a pass of its own.
  Matrix rows_of(std::int64_t block, std::int64_t expert) const {
    const Model model = Model::load(directory_ / "in");
    std::vector<std::vector<float>> found;
    const Json ids = read_json(directory_ / "ids.json");
    for (int window = 0; window < 30; ++window) {
      std::vector<std::int32_t> tokens;
      for (int i = 0; i < kWindow; ++i) {
        tokens.push_back(ids.at(static_cast<std::size_t>(window * kWindow + i)));
      }
      KeyValueCache cache(model.architecture(), kWindow);
      Batch batch;
      batch.add(cache, tokens);
      CpuOperations operations(model, batch);
      Forward forward(model.architecture(), operations);
      Matrix x = forward.embed();
      for (std::int64_t i = 0; i < block; ++i) x = forward.block(i, std::move(x));
      auto state = forward.begin(block, std::move(x));
      for (const Stage stage : {Stage::attention_input, Stage::attention_output}) {
        state = forward.advance(block, stage, std::move(state));
      }
      const Matrix normed = operations.norm(block, NormRole::mlp, state.residual);
      for (std::int64_t row = 0; row < kWindow; ++row) {
        if (state.routes(row, expert) == 0) continue;
        found.emplace_back(normed.row(row).data(), normed.row(row).data() + normed.cols());
      }
    }
    Matrix rows(static_cast<std::int64_t>(found.size()), model.architecture().hidden_size);
    for (std::size_t i = 0; i < found.size(); ++i) {
      std::copy(found[i].begin(), found[i].end(), rows.row(static_cast<std::int64_t>(i)).data());
    }
    return rows;
  }
};

// |w| ||x||: in each row of the weight the smaller half goes, by the norms of the expert's rows.
TEST_F(ExpertRecipe, WandaPrunesByTheRowsThatAnExpertTakes) {
  run("out", recipe("- {method: wanda, sparsity: 0.5, targets: [experts gate_proj]}\n"));
  const Model before = loaded("in");
  const Model after = loaded("out");
  for (std::int64_t expert = 0; expert < before.architecture().num_experts; ++expert) {
    const Matrix rows = rows_of(0, expert);
    ASSERT_GT(rows.rows(), 20);
    ASSERT_LT(rows.rows(), 30 * kWindow);
    const Eigen::RowVectorXf norms = rows.colwise().norm();
    const LinearKey key{LinearRole::gate_proj, expert};
    const Matrix weight = before.block(0).linears.at(key).weight->dense();
    const Matrix pruned = after.block(0).linears.at(key).weight->dense();
    for (std::int64_t row = 0; row < weight.rows(); ++row) {
      const Eigen::RowVectorXf scores = weight.row(row).cwiseAbs().cwiseProduct(norms);
      std::vector<float> sorted(scores.data(), scores.data() + scores.size());
      std::sort(sorted.begin(), sorted.end());
      const float middle = (sorted[sorted.size() / 2 - 1] + sorted[sorted.size() / 2]) / 2;
      for (std::int64_t c = 0; c < weight.cols(); ++c) {
        EXPECT_EQ(pruned(row, c) == 0, scores[c] < middle) << expert << " " << row << " " << c;
      }
    }
  }
}

TEST_F(ExpertRecipe, SelectorsAndTablesFindExperts) {
  run("out", recipe("- method: rtn\n  group_size: 4\n  targets: [experts]\n"
                    "  ignore: [down_proj]\n"
                    "  bits: {default: 4, \"experts\\\\.2\\\\.\": 8, \"up_proj block 1\": 3}\n"));
  const Model model = Model::open(directory_ / "out");
  const auto kind = [&](std::int64_t block, const LinearKey& key) {
    return model.stored_kind(model.linear_module(block, key), "Linear");
  };
  EXPECT_EQ(kind(0, {LinearRole::gate_proj, 0}), "4 bits group 4");
  EXPECT_EQ(kind(0, {LinearRole::gate_proj, 2}), "8 bits group 4");
  EXPECT_EQ(kind(1, {LinearRole::up_proj, 3}), "3 bits group 4");
  EXPECT_EQ(kind(0, {LinearRole::down_proj, 1}), "float32");
  EXPECT_EQ(kind(0, LinearRole::q_proj), "float32");
  const auto ignored = model.checkpoint().config().at("quantization_config").at("ignore");
  EXPECT_THAT(ignored, testing::Contains("model.layers.0.block_sparse_moe.gate"));
}

TEST_F(ExpertRecipe, CountsExpertsInTheInventory) {
  const Inventory inventory = take_inventory(Model::open(directory_ / "in"));
  std::int64_t counted = 0;
  for (const InventoryRow& row : inventory.rows) {
    if (row.role == "up_proj") counted += row.count;
    if (row.role == "router") counted += row.parameters;
  }
  EXPECT_EQ(counted, 2 * 4 + 2 * 4 * 48);
  EXPECT_EQ(inventory.bytes, Checkpoint::open(directory_ / "in").total_bytes());
}

// The last expert's router is that of the one before it, which comes first: no row is left for it.
class UnusedExpert : public ExpertRecipe {
 protected:
  test::RandomCheckpoint checkpoint() const override {
    test::RandomCheckpoint checkpoint = test::family_variant("mixtral_one_of_three");
    for (int layer = 0; layer < 2; ++layer) {
      auto& router =
          checkpoint.weights.at(fmt::format("model.layers.{}.block_sparse_moe.gate.weight", layer));
      std::copy(router.values.begin() + 48, router.values.begin() + 96, router.values.begin() + 96);
    }
    return checkpoint;
  }
};

TEST_F(UnusedExpert, IsCompressedAsWithoutCalibration) {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"{method: gptq, bits: 4, group_size: 4}", "{method: rtn, bits: 4, group_size: 4}"},
      {"{method: wanda, structure: \"2:4\"}", "{method: magnitude, structure: \"2:4\"}"},
      {"{method: sparsegpt, sparsity: 0.5}", ""}};
  for (const auto& [calibrated, plain] : pairs) {
    SCOPED_TRACE(calibrated);
    const CompressionReport report = run("out", recipe("- " + calibrated + "\n"));
    EXPECT_THAT(report.notes, testing::Contains(HasSubstr(
                                  "model.layers.1.block_sparse_moe.experts.2.w1: no calibration "
                                  "token was sent to this expert")));
    const Model found = loaded("out");
    EXPECT_TRUE(logits("out").allFinite());
    if (plain.empty()) continue;
    run("plain", recipe("- " + plain + "\n"));
    const Model expected = loaded("plain");
    for (const LinearRole role :
         {LinearRole::gate_proj, LinearRole::up_proj, LinearRole::down_proj}) {
      const Matrix x = found.block(1).linears.at({role, 2}).weight->dense();
      const Matrix y = expected.block(1).linears.at({role, 2}).weight->dense();
      EXPECT_LT((x - y).cwiseAbs().maxCoeff(), 1e-5F) << role_name(role);
      EXPECT_GT(x.cwiseAbs().maxCoeff(), 0) << role_name(role);
    }
  }
}

TEST_F(UnusedExpert, HasItsShareOfAnAllocation) {
  for (const char* method : {"{method: wanda, sparsity: 0.5, allocation: owl}",
                             "{method: svd_llm, ratio: 0.7, allocation: energy, multiple: 1, "
                             "update: false}"}) {
    SCOPED_TRACE(method);
    run("out", recipe(fmt::format("- {}\n", method)));
    EXPECT_TRUE(logits("out").allFinite());
  }
}

TEST_F(UnusedExpert, HasNoRangesForStaticActivations) {
  expect_error(ErrorKind::failed, "no calibration token was sent to this expert", [&] {
    run("out", recipe("- {method: rtn, strategy: channel, activations: static}\n"));
  });
}

}  // namespace
}  // namespace terse
