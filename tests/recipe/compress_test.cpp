// What `compress` writes, for every family: determinism, exactness, names, refusals.
#include "terse/recipe/compress.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/family_variants.h"
#include "support/logits.h"
#include "support/paths.h"
#include "support/random_checkpoint.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/model/cpu_operations.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/recipe/memory_plan.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::string> kSmall{{"bits", "4"}, {"group_size", "4"}};

Recipe small_recipe(const std::string& method, const fs::path& ids) {
  Recipe recipe = one_step_recipe(method, kSmall);
  recipe.calibration.token_file = ids;
  recipe.calibration.window = 12;
  return recipe;
}

fs::path write_ids(const fs::path& directory) {
  Json ids = Json::array();
  for (int i = 0; i < 400; ++i) ids.push_back((i * i + 5 * i) % 67);
  write_file(directory / "ids.json", ids.dump());
  return directory / "ids.json";
}

CompressionReport run(const fs::path& input, const fs::path& output, const Recipe& recipe,
                      const RunSettings& settings = {}) {
  Progress silent;
  return compress(input, output, recipe, settings, silent);
}

// Name and bytes of every tensor.
std::map<std::string, std::string> tensors_of(const fs::path& directory) {
  const Checkpoint checkpoint = Checkpoint::open(directory);
  std::map<std::string, std::string> tensors;
  for (const std::string& name : checkpoint.names()) {
    const auto bytes = checkpoint.tensor(name).bytes();
    tensors[name] = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  return tensors;
}

Matrix logits_of(const fs::path& directory) {
  return test::logits_of(Model::load(directory), {test::some_tokens(16, 67)});
}

class CompressEveryFamily : public testing::TestWithParam<test::FamilyVariant> {
 protected:
  CompressEveryFamily() {
    test::write_checkpoint(GetParam().checkpoint(), directory_ / "in", "F32");
    ids_ = write_ids(directory_.path());
  }

  test::TemporaryDirectory directory_;
  fs::path ids_;
};

TEST_P(CompressEveryFamily, LoadsBackExactlyWhatTheQuantiserProduced) {
  const Recipe recipe = small_recipe("rtn", ids_);
  const CompressionReport report = run(directory_ / "in", directory_ / "out", recipe);
  Model dense = Model::open(directory_ / "in");
  Model packed = Model::open(directory_ / "out");
  const MethodOptions options(MethodRegistry::instance().find("rtn"), kSmall);
  const auto method = make_linear_method("rtn", options, {DType::f32});
  const Architecture& a = dense.architecture();
  std::size_t linears = 0;
  for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
    linears += a.block_linears(block).size();
    dense.load_block(block);
    packed.load_block(block);
    for (const auto& [key, linear] : dense.block(block).linears) {
      const Matrix expected =
          dense_weight(method->compress({linear.module, linear.weight->dense()}));
      EXPECT_TRUE(packed.block(block).linears.at(key).weight->dense() == expected) << linear.module;
    }
  }
  EXPECT_EQ(report.linears.size(), linears);
}

TEST_P(CompressEveryFamily, RunsLikeItsDequantisedTwin) {
  Recipe recipe = small_recipe("gptq", ids_);
  recipe.output.embeddings_bits = 8;
  run(directory_ / "in", directory_ / "packed", recipe);
  recipe.output.dequantize = true;
  run(directory_ / "in", directory_ / "plain", recipe);
  EXPECT_FALSE(has_key(Checkpoint::open(directory_ / "plain").config(), "quantization_config"));
  // The twin has the very tensors of the input, in name, type and shape.
  const Checkpoint before = Checkpoint::open(directory_ / "in");
  const Checkpoint after = Checkpoint::open(directory_ / "plain");
  EXPECT_EQ(before.names(), after.names());
  for (const std::string& name : before.names()) {
    EXPECT_EQ(before.tensor(name).shape(), after.tensor(name).shape()) << name;
    EXPECT_EQ(before.tensor(name).dtype(), after.tensor(name).dtype()) << name;
  }
  EXPECT_TRUE(logits_of(directory_ / "packed") == logits_of(directory_ / "plain"));
}

TEST_P(CompressEveryFamily, GivesTheSameBytesOnAnyNumberOfThreads) {
  const Recipe recipe = small_recipe("gptq", ids_);
  const int threads = thread_count();
  std::map<std::string, std::string> first;
  for (const int count : {1, 2, 3, 5}) {
    set_thread_count(count);
    const fs::path out = directory_ / std::to_string(count);
    run(directory_ / "in", out, recipe);
    if (count == 1) first = tensors_of(out);
    EXPECT_EQ(tensors_of(out), first) << count << " threads";
    EXPECT_EQ(read_file(out / "model.safetensors"),
              read_file(directory_ / "1" / "model.safetensors"));
  }
  set_thread_count(threads);
}

// Smoothing does not work with experts.
class SmoothEveryDenseFamily : public CompressEveryFamily {};

INSTANTIATE_TEST_SUITE_P(, SmoothEveryDenseFamily, testing::ValuesIn(test::dense_family_variants()),
                         [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(, CompressEveryFamily, testing::ValuesIn(test::family_variants()),
                         [](const auto& tested) { return tested.param.name; });

// One small llama, tied or not.
class Compress : public testing::Test {
 protected:
  Compress() {
    write("llama_grouped_tied", "tied");
    write("llama_grouped", "in");
    ids_ = write_ids(directory_.path());
  }

  void write(const std::string& prefix, const std::string& name,
             test::TiedName tied = test::TiedName::kEmbedding) {
    test::write_checkpoint(test::family_variant(prefix), directory_ / name, "BF16", {.tied = tied});
  }

  void expect_error(const Recipe& recipe, int exit_code, const std::string& words,
                    const std::string& input = "in") {
    try {
      run(directory_ / input, directory_ / "refused", recipe);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), exit_code) << error.what();
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
    }
    EXPECT_FALSE(fs::exists(directory_ / "refused"));
    EXPECT_FALSE(fs::exists(directory_ / "refused.part"));
  }

  test::TemporaryDirectory directory_;
  fs::path ids_;
};

TEST_F(Compress, KeepsTiedEmbeddingsTiedWhicheverNameIsStored) {
  write("llama_grouped_tied", "tied_head", test::TiedName::kHead);
  Recipe recipe = small_recipe("rtn", ids_);
  recipe.output.embeddings_bits = 8;
  for (const std::string name : {"tied", "tied_head"}) {
    const fs::path out = directory_ / (name + "_out");
    run(directory_ / name, out, recipe);
    const Model model = Model::load(out);
    EXPECT_TRUE(model.tied());
    EXPECT_EQ(&model.embedding(), model.head().weight.get());
    int stored = 0;
    for (const std::string& tensor : model.checkpoint().names()) {
      EXPECT_FALSE(tensor == "lm_head.weight" || tensor == "model.embed_tokens.weight") << tensor;
      stored +=
          tensor == "lm_head.weight_packed" || tensor == "model.embed_tokens.weight_packed" ? 1 : 0;
    }
    EXPECT_EQ(stored, 1);
  }
}

TEST_F(Compress, DequantisedWeightsAreThePackedOnesRoundedToTheirType) {
  Recipe recipe = small_recipe("gptq", ids_);
  run(directory_ / "in", directory_ / "packed", recipe);
  recipe.output.dequantize = true;
  run(directory_ / "in", directory_ / "plain", recipe);
  Model packed = Model::load(directory_ / "packed");
  Model plain = Model::load(directory_ / "plain");
  for (const auto& [role, linear] : packed.block(1).linears) {
    Matrix expected = linear.weight->dense();
    expected = expected.unaryExpr([](float value) { return round_to_dtype(DType::bf16, value); });
    EXPECT_TRUE(plain.block(1).linears.at(role).weight->dense() == expected) << linear.module;
  }
}

TEST_F(Compress, LeavesIgnoredLinearsAsTheyAre) {
  Recipe recipe = small_recipe("gptq", ids_);
  recipe.steps[0].ignore = {"down_proj", "layers\\.0\\..*q_proj"};
  run(directory_ / "in", directory_ / "out", recipe);
  const Checkpoint before = Checkpoint::open(directory_ / "in");
  const Checkpoint after = Checkpoint::open(directory_ / "out");
  for (const std::string name : {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj",
                                 "model.layers.1.mlp.down_proj"}) {
    const Tensor expected = before.tensor(name + ".weight");
    const Tensor found = after.tensor(name + ".weight");
    EXPECT_TRUE(std::ranges::equal(expected.bytes(), found.bytes()));
  }
  EXPECT_TRUE(after.contains("model.layers.1.self_attn.q_proj.weight_packed"));
  Model::load(directory_ / "out");
}

TEST_F(Compress, CarriesSideFiles) {
  write_file(directory_ / "in/chat_template.jinja", "{{ messages }}");
  write_file(directory_ / "in/generation_config.json", "{\"eos_token_id\": [1, 2]}");
  run(directory_ / "in", directory_ / "out", small_recipe("rtn", ids_));
  EXPECT_EQ(read_file(directory_ / "out/chat_template.jinja"), "{{ messages }}");
  EXPECT_EQ(read_file(directory_ / "out/generation_config.json"), "{\"eos_token_id\": [1, 2]}");
}

TEST_F(Compress, CalibratesOnTextThatTheModelGenerates) {
  Recipe recipe = small_recipe("gptq", "");
  recipe.calibration.samples = 5;
  const CompressionReport report = run(directory_ / "in", directory_ / "a", recipe);
  EXPECT_EQ(report.calibration_source, "self-generated");
  EXPECT_EQ(report.calibration_tokens, 60);
  run(directory_ / "in", directory_ / "b", recipe);
  EXPECT_EQ(tensors_of(directory_ / "a"), tensors_of(directory_ / "b"));
  recipe.calibration.seed = 1;
  run(directory_ / "in", directory_ / "c", recipe);
  EXPECT_NE(tensors_of(directory_ / "a"), tensors_of(directory_ / "c"));
}

TEST_F(Compress, SeesTheCompressedStagesBeforeOnlyWhenTrueSequential) {
  Recipe recipe = small_recipe("gptq", ids_);
  run(directory_ / "in", directory_ / "sequential", recipe);
  recipe.true_sequential = false;
  run(directory_ / "in", directory_ / "at_once", recipe);
  const auto sequential = tensors_of(directory_ / "sequential");
  const auto at_once = tensors_of(directory_ / "at_once");
  const std::string first = "model.layers.0.self_attn.q_proj.weight_packed";
  EXPECT_EQ(sequential.at(first), at_once.at(first));
  EXPECT_NE(sequential, at_once);
}

TEST_F(Compress, GivesTheSameBytesInAnyMemory) {
  const Recipe recipe = small_recipe("gptq", ids_);
  run(directory_ / "in", directory_ / "held", recipe);
  const auto held = tensors_of(directory_ / "held");
  // What is needed without activations, and not a byte more: all of them are spilled.
  const Model model = Model::open(directory_ / "in");
  const Schedule schedule(model, recipe.steps, 396);
  const MemoryPlan plan = plan_memory(model, schedule, {396, 12}, recipe.output, 0);
  EXPECT_EQ(plan.held, 0U);
  RunSettings settings;
  settings.memory = plan.without_activations();
  run(directory_ / "in", directory_ / "spilled", recipe, settings);
  EXPECT_EQ(tensors_of(directory_ / "spilled"), held);
  settings.memory = 1000;
  EXPECT_THROW(run(directory_ / "in", directory_ / "refused", recipe, settings), Error);
  EXPECT_FALSE(fs::exists(directory_ / "refused.part"));
}

// The second pass measures what the first one left: its result is not that of one pass alone.
TEST_F(Compress, PassesSeeWhatEarlierOnesLeft) {
  const auto pruned = [&](std::vector<std::pair<const char*, bool>> steps) {
    Recipe recipe = small_recipe("gptq", ids_);
    recipe.steps.clear();
    for (const auto& [sparsity, remeasure] : steps) {
      RecipeStep step = one_step_recipe("sparsegpt", {{"sparsity", sparsity}}).steps.front();
      step.remeasure = remeasure;
      recipe.steps.push_back(step);
    }
    const fs::path out = directory_ / fmt::format("passes-{}-{}", steps.size(), steps[0].first);
    const CompressionReport report = run(directory_ / "in", out, recipe);
    for (const LinearReport& linear : report.linears) {
      if (&linear < &report.linears[report.linears.size() / steps.size()] && steps.size() > 1)
        continue;
      EXPECT_NEAR(*linear.sparsity, 0.5, 0.01) << linear.module;
    }
    return tensors_of(out);
  };
  const auto once = pruned({{"0.5", false}});
  const auto twice = pruned({{"0.25", false}, {"0.5", true}});
  EXPECT_EQ(once.size(), twice.size());
  EXPECT_NE(once, twice);
}

// Rounding after an earlier pass has pruned is rounding after pruning in the same pass.
TEST_F(Compress, ZerosOfAnEarlierPassStayZeros) {
  const auto done = [&](bool remeasure, const std::string& name) {
    Recipe recipe = small_recipe("rtn", ids_);
    recipe.steps.front().remeasure = remeasure;
    recipe.steps.insert(recipe.steps.begin(),
                        one_step_recipe("wanda", {{"structure", "2:4"}}).steps.front());
    run(directory_ / "in", directory_ / name, recipe);
    return tensors_of(directory_ / name);
  };
  const auto apart = done(true, "apart");
  EXPECT_TRUE(apart.contains("model.layers.1.mlp.up_proj.bitmask"));
  Model model = Model::load(directory_ / "apart");
  for (const auto& [role, linear] : model.block(1).linears) {
    EXPECT_GE((linear.weight->dense().array() == 0.0F).count(),
              linear.weight->rows() * linear.weight->columns() / 2)
        << linear.module;
  }
  // The first block's first stage has seen nothing quantised before it in either.
  const auto together = done(false, "together");
  const std::string first = "model.layers.0.self_attn.q_proj.";
  for (const std::string name : {"bitmask", "weight_packed", "weight_scale"}) {
    ASSERT_TRUE(together.contains(first + name)) << name;
    EXPECT_EQ(apart.at(first + name), together.at(first + name)) << name;
  }
}

// What smoothing leaves alone computes what it did; what it folds through is written out.
TEST_P(SmoothEveryDenseFamily, SmoothingKeepsWhatTheModelComputes) {
  Recipe recipe = one_step_recipe("smoothquant", {{"stages", "all"}});
  recipe.calibration.token_file = ids_;
  recipe.calibration.window = 12;
  run(directory_ / "in", directory_ / "smooth", recipe);
  const Matrix before = logits_of(directory_ / "in");
  const Matrix after = logits_of(directory_ / "smooth");
  EXPECT_LT((before - after).cwiseAbs().maxCoeff(), 1e-5F * before.cwiseAbs().maxCoeff());
}

TEST_F(Compress, ReplacesAnOutputOnlyWhenForced) {
  Recipe recipe = small_recipe("rtn", ids_);
  run(directory_ / "in", directory_ / "out", recipe);
  const auto before = tensors_of(directory_ / "out");
  recipe.steps[0].options["bits"].value = "3";
  EXPECT_THROW(run(directory_ / "in", directory_ / "out", recipe), Error);
  EXPECT_EQ(tensors_of(directory_ / "out"), before);
  RunSettings settings;
  settings.force = true;
  run(directory_ / "in", directory_ / "out", recipe, settings);
  EXPECT_NE(tensors_of(directory_ / "out"), before);
}

TEST_F(Compress, RefusesWhatCannotBe) {
  Recipe recipe = small_recipe("gptq", ids_);
  recipe.steps[0].ignore = {"no_such_linear"};
  expect_error(recipe, 2, "no_such_linear");

  recipe = small_recipe("gqtp", ids_);
  expect_error(recipe, 2, "did you mean 'gptq'");

  recipe = small_recipe("rtn", ids_);
  recipe.steps[0].options["percdamp"].value = "0.1";
  expect_error(recipe, 2, "percdamp");

  recipe = small_recipe("rtn", ids_);
  recipe.steps[0].options["group_size"].value = "7";
  expect_error(recipe, 2, "q_proj");

  recipe = small_recipe("gptq", ids_);
  recipe.calibration.window = 500;
  expect_error(recipe, 2, "context");

  recipe = small_recipe("gptq", directory_ / "absent.json");
  expect_error(recipe, 3, "absent.json");

  run(directory_ / "in", directory_ / "packed", small_recipe("rtn", ids_));
  expect_error(small_recipe("rtn", ids_), 3, "already compressed", "packed");
}

// Overwrites one stored value of a tensor of directory_/in.
void damage(const fs::path& directory, const std::string& name, std::uint16_t bits) {
  std::string file = read_file(directory / "model.safetensors");
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof header);
  const Json entries = Json::parse(file.substr(8, header));
  const auto begin = entries.at(name).at("data_offsets").at(0).get<std::uint64_t>();
  std::memcpy(file.data() + 8 + header + begin, &bits, sizeof bits);
  write_file(directory / "model.safetensors", file);
}

TEST_F(Compress, NamesATensorThatIsNotFinite) {
  damage(directory_ / "in", "model.layers.1.mlp.up_proj.weight", 0x7fc0);
  expect_error(small_recipe("gptq", ids_), 3, "model.layers.1.mlp.up_proj");
}

TEST_F(Compress, NamesTheBlockWhereActivationsOverflow) {
  // The largest finite bfloat16 in a norm makes the products behind it infinite.
  damage(directory_ / "in", "model.layers.0.post_attention_layernorm.weight", 0x7f7f);
  expect_error(small_recipe("gptq", ids_), 1, "block 0");
}

}  // namespace
}  // namespace terse
