// `lora` steps of recipes: adapters that are saved, gone on from, and begun from what quantisation
// lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/SVD>

#include "support/expect_error.h"
#include "support/paths.h"
#include "support/peft_files.h"
#include "support/temporary_directory.h"
#include "terse/formats/peft_adapter.h"
#include "terse/model/adapter.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/merge.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

const std::string kRtn = "- {method: rtn, bits: 2, group_size: 64}\n";
const std::string kAttention = "targets: attention, batch_size: 4, warmup_steps: 1, max_steps: ";
constexpr std::int64_t kRank = 4;

class LoraSteps : public testing::Test {
 protected:
  void run(const std::string& name, const std::string& steps) {
    const std::string ids =
        test::source_path("tests/oracle/docs-llama/calibration_ids.npy").string();
    const Recipe recipe =
        parse_recipe("training: {tokens: " + ids + ", window: 64}\nsteps:\n" + steps, "test.yaml");
    Progress silent;
    compress(model(), directory_ / name, recipe, {.force = true}, silent);
  }

  // A step on the attention; `options` in YAML, after which a comma follows.
  static std::string lora(const std::string& options, int steps = 2) {
    return "- {method: lora, " + options + ", " + kAttention + std::to_string(steps) + "}\n";
  }

  static fs::path model() { return test::source_path("models/docs-llama"); }
  fs::path adapter(const std::string& name) const { return directory_ / name / "adapter"; }

  Matrix weight(const std::string& name, std::int64_t block, LinearRole role) const {
    return weight_at(directory_ / name, block, role);
  }

  static Matrix weight_at(const fs::path& path, std::int64_t block, LinearRole role) {
    Model opened = Model::open(path);
    opened.load_block(block, false);
    return opened.block(block).linears.at(role).weight->dense();
  }

  // Of two models with bfloat16 weights: the share of a rounding error at most.
  void expect_equal_weights(const std::string& a, const std::string& b) {
    for (const LinearRole role : {LinearRole::q_proj, LinearRole::o_proj, LinearRole::up_proj}) {
      const Matrix first = weight(a, 2, role);
      EXPECT_LT((first - weight(b, 2, role)).norm(), 1e-3F * first.norm());
    }
  }

  void merge_into(const fs::path& base, const std::string& from, const std::string& output) {
    Progress silent;
    merge(base, adapter(from), directory_ / output, {}, silent);
  }

  void expect_refused(const std::string& steps, ErrorKind kind, const std::string& says) {
    test::expect_error(kind, says, [&] { run("refused", steps); });
    EXPECT_FALSE(fs::exists(directory_ / "refused"));
    EXPECT_FALSE(fs::exists(directory_ / "refused.part"));
  }

  test::TemporaryDirectory directory_;
};

TEST_F(LoraSteps, SaveWhatMergesToTheirOutput) {
  for (const char* kind : {"use_dora: false", "use_dora: true", "use_rslora: true"}) {
    SCOPED_TRACE(kind);
    run("out", lora(std::string(kind) + ", r: 4, save_adapter: true"));
    const PeftAdapter saved = read_peft_adapter(adapter("out"));
    EXPECT_THAT(saved.config.target_modules, ElementsAre("k_proj", "o_proj", "q_proj", "v_proj"));
    EXPECT_EQ(saved.modules.size(), 24U);
    fs::remove_all(directory_ / "merged");
    merge_into(model(), "out", "merged");
    expect_equal_weights("out", "merged");
    EXPECT_GT(
        (weight("out", 2, LinearRole::q_proj) - weight_at(model(), 2, LinearRole::q_proj)).norm(),
        0);
  }
}

TEST_F(LoraSteps, OverIntegersSaveWhatMergesToTheirSum) {
  run("w2", kRtn);
  run("out", kRtn + lora("r: 4, save_adapter: true"));
  merge_into(directory_ / "w2", "out", "merged");
  expect_equal_weights("out", "merged");
  const Checkpoint out = Checkpoint::open(directory_ / "out");
  const Checkpoint merged = Checkpoint::open(directory_ / "merged");
  EXPECT_EQ(out.config(), merged.config());
  EXPECT_EQ(out.names(), merged.names());
  // Later steps do not lose it.
  run("later", lora("r: 4, save_adapter: true") + kRtn);
  EXPECT_EQ(read_peft_adapter(adapter("later")).modules.size(), 24U);
}

TEST_F(LoraSteps, GoOnFromAnAdapter) {
  const std::string module = "model.layers.2.self_attn.q_proj";
  nlohmann::json config = test::peft_config();
  config["alpha_pattern"] = {{"layers.2.self_attn.q_proj", 0.5}};
  test::write_peft(directory_ / "given", config, test::peft_module(module, 256, 256));
  const std::string from = "adapter: " + (directory_ / "given").string();
  // The learning rate is too small to change a weight.
  run("out", lora(from + ", save_adapter: true, learning_rate: 1e-30"));
  Progress silent;
  merge(model(), directory_ / "given", directory_ / "merged", {}, silent);
  expect_equal_weights("out", "merged");
  const PeftAdapter given = read_peft_adapter(directory_ / "given");
  const PeftAdapter saved = read_peft_adapter(adapter("out"));
  EXPECT_EQ(saved.config, given.config);
  ASSERT_EQ(saved.modules.size(), 1U);
  EXPECT_EQ(saved.modules[0].scale, 0.25);
  // Nothing but the zeros has moved, by next to nothing.
  const auto moved = [](const Tensor& before, const Tensor& after) {
    return (before.to_matrix() - after.to_matrix()).cwiseAbs().maxCoeff();
  };
  EXPECT_LT(moved(given.modules[0].a, saved.modules[0].a), 1e-20F);
  EXPECT_LT(moved(given.modules[0].b, saved.modules[0].b), 1e-20F);
  run("trained", lora(from + ", save_adapter: true"));
  EXPECT_NE(read_peft_adapter(adapter("trained")).modules[0].b.to_floats(),
            given.modules[0].b.to_floats());

  expect_refused(lora(from + ", r: 8"), ErrorKind::usage, "r is 8, but the adapter has 2");
  expect_refused(lora(from + ", lora_alpha: 16"), ErrorKind::usage, "but the adapter has 0.5");
  expect_refused(lora(from + ", use_dora: true"), ErrorKind::usage, "use_dora is true");
  expect_refused(lora(from + ", init_lora_weights: loftq"), ErrorKind::usage, "two ways to begin");
  expect_refused("- {method: lora, " + from + ", targets: mlp}\n", ErrorKind::usage,
                 "is for " + module + " too");
  expect_refused(lora("adapter: /nowhere"), ErrorKind::bad_input, "no adapter_config.json there");
  test::write_peft(directory_ / "given", config, test::peft_module(module, 300, 256));
  expect_refused(kRtn + lora(from), ErrorKind::bad_input,
                 "[300, 2]; the model's weight [256, 256]");
}

TEST_F(LoraSteps, BeginAtTheTailOfWhatQuantisationLost) {
  run("w2", kRtn);
  for (const char* scale : {"lora_alpha: 32", "lora_alpha: 3, use_rslora: true"}) {
    run("out",
        kRtn + lora(std::string(scale) + ", r: 4, init_lora_weights: loftq, save_adapter: true, "
                                         "learning_rate: 1e-30",
                    1));
    const Matrix original = weight_at(model(), 3, LinearRole::q_proj);
    const Matrix quantized = weight("w2", 3, LinearRole::q_proj);
    const Matrix lost = original - quantized;
    const Eigen::JacobiSVD<Eigen::MatrixXd> svd(lost.cast<double>());
    const double tail = svd.singularValues().tail(lost.rows() - kRank).norm();
    // Adapters are saved in float32; beside the integers they are rounded to bfloat16.
    const PeftAdapter saved = read_peft_adapter(adapter("out"));
    const auto fitted = fit_adapter(Model::open(model()), saved);
    const Matrix sum = with_adapter(quantized, fitted.at("model.layers.3.self_attn.q_proj"));
    EXPECT_NEAR((original - sum).norm(), tail, 1e-4);
    EXPECT_LT((original - sum).norm(), lost.norm());
    EXPECT_NEAR((original - weight("out", 3, LinearRole::q_proj)).norm(), tail, 2e-3 * tail);
  }
}

TEST_F(LoraSteps, MayRoundIntegersAnew) {
  const auto distance = [&](const std::string& name) {
    return (weight(name, 3, LinearRole::q_proj) - weight_at(model(), 3, LinearRole::q_proj)).norm();
  };
  const std::string begin = "r: 4, init_lora_weights: loftq, learning_rate: 1e-30";
  run("once", kRtn + lora(begin, 1));
  run("often", kRtn + lora(begin + ", loftq_iter: 5", 1));
  EXPECT_LT(distance("often"), distance("once"));
  EXPECT_EQ(
      Model::open(directory_ / "often").stored_kind("model.layers.3.self_attn.q_proj", "Linear"),
      "2 bits group 64 + rank 4");
}

TEST_F(LoraSteps, RefuseWhatCannotBe) {
  const std::string pruned = "- {method: magnitude, sparsity: 0.5}\n";
  const std::string save = lora("save_adapter: true");
  const std::string loftq = lora("init_lora_weights: loftq");
  const auto usage = ErrorKind::usage;
  expect_refused(pruned + save, usage, "cannot say that zeros stay zero");
  expect_refused(save + save, usage, "2 steps would write adapter/");
  expect_refused(loftq, usage, "is not quantised; let a quantising step come first");
  expect_refused(pruned + kRtn + loftq, usage, "is pruned");
  expect_refused("- {method: smoothquant}\n" + kRtn + loftq, usage, "loftq after smoothquant");
  expect_refused("- {method: keep, num_hidden_layers: 4}\n" + kRtn + loftq, usage,
                 "loftq after keep");
  expect_refused(lora("loftq_iter: 2"), usage, "is for init_lora_weights: loftq");
  expect_refused(kRtn + lora("init_lora_weights: loftq, lora_alpha: 0"), usage, "above 0");
  expect_refused(kRtn + lora("init_lora_weights: loftq, loftq_iter: 2, save_adapter: true"), usage,
                 "for integers that the output alone holds");
}

}  // namespace
}  // namespace terse
