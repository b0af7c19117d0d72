// Recipes whose steps learn, on the model of this repository: what they leave, and that it runs
// without the training module.
#include <gtest/gtest.h>

#include <set>

#include "support/expect_error.h"
#include "support/paths.h"
#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/core/json.h"
#include "terse/core/threads.h"
#include "terse/eval/divergence.h"
#include "terse/formats/npy.h"
#include "terse/recipe/compress.h"
#include "terse/recipe/recipe_text.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

class LearningRecipes : public testing::Test {
 protected:
  CompressionReport run(const std::string& name, const std::string& steps,
                        const std::string& training = "") {
    const std::string ids =
        test::source_path("tests/oracle/docs-llama/calibration_ids.npy").string();
    const Recipe recipe =
        parse_recipe("calibration: {tokens: " + ids + ", samples: 16}\ntraining: {tokens: " + ids +
                         ", window: 128" + training + "}\nsteps:\n" + steps,
                     "test.yaml");
    Progress silent;
    RunSettings settings;
    settings.force = true;
    return compress(model(), directory_ / name, recipe, settings, silent);
  }

  static fs::path model() { return test::source_path("models/docs-llama"); }

  // KL to the dense model on the text that was learned.
  double divergence_of(const std::string& name) const {
    const Model base = Model::load(model());
    const Model other = Model::load(directory_ / name);
    const auto ids =
        read_token_ids(test::source_path("tests/oracle/docs-llama/calibration_ids.npy")).ids;
    Windows windows = cut_windows(ids, 128);
    keep_spread(windows, 12);
    Progress silent;
    return divergence(base, other, windows, silent).kl.mean;
  }

  std::string kind_of(const std::string& name, const std::string& module) const {
    return Model::open(directory_ / name).stored_kind(module, "Linear");
  }

  test::TemporaryDirectory directory_;
};

constexpr const char* kUp = "model.layers.3.mlp.up_proj";
const std::string kShort = "max_steps: 24, batch_size: 4, warmup_steps: 4";
// Enough to change weights.
const std::string kFewSteps = "max_steps: 5, batch_size: 4";

TEST_F(LearningRecipes, PruneQuantiseDistil) {
  const std::string before =
      "- {method: sparsegpt, structure: \"2:4\"}\n- {method: rtn, bits: 3, group_size: 64}\n";
  const CompressionReport untrained = run("before", before);
  const CompressionReport report =
      run("after", before +
                       "- {method: distill, learning_rate: 1e-3, max_steps: 24, batch_size: 8, "
                       "warmup_steps: 4}\n");
  EXPECT_EQ(kind_of("before", kUp), kind_of("after", kUp));
  EXPECT_EQ(kind_of("after", kUp), "3 bits group 64 2:4");
  EXPECT_LT(divergence_of("after"), 0.9 * divergence_of("before"));
  EXPECT_EQ(report.bits_per_weight, untrained.bits_per_weight);
  Model distilled = Model::load(directory_ / "after");
  for (const auto& [role, linear] : distilled.block(3).linears) {
    const Matrix weight = linear.weight->dense();
    EXPECT_GE((weight.array() == 0.0F).count(), weight.size() / 2) << linear.module;
  }
}

TEST_F(LearningRecipes, QuantiseThenLora) {
  const std::string before = "- {method: rtn, bits: 2, group_size: 64}\n";
  run("before", before);
  run("after", before + "- {method: lora, r: 8, " + kShort + "}\n");
  EXPECT_EQ(kind_of("after", kUp), "2 bits group 64 + rank 8");
  EXPECT_LT(divergence_of("after"), divergence_of("before"));
  // Integers are those that the quantiser left.
  const Checkpoint base = Checkpoint::open(directory_ / "before");
  const Checkpoint sum = Checkpoint::open(directory_ / "after");
  for (const std::string& name : base.names_of(kUp)) {
    EXPECT_TRUE(std::ranges::equal(base.tensor(name).bytes(), sum.tensor(name).bytes())) << name;
  }
}

TEST_F(LearningRecipes, FactorsAreTrained) {
  const std::string factor = "- {method: svd_llm, rank: 64}\n";
  const std::string distill = "- {method: distill, learning_rate: 1e-3, " + kShort + "}\n";
  const CompressionReport untrained = run("before", factor);
  const CompressionReport report = run("after", factor + distill);
  EXPECT_TRUE(kind_of("after", kUp).starts_with("rank "));
  EXPECT_EQ(kind_of("before", kUp), kind_of("after", kUp));
  EXPECT_LT(divergence_of("after"), 0.9 * divergence_of("before"));
  EXPECT_EQ(report.bits_per_weight, untrained.bits_per_weight);
  const std::string integers = factor + "- {method: gptq, bits: 3, group_size: 32}\n";
  run("integers", integers);
  run("trained", integers + distill);
  EXPECT_EQ(kind_of("integers", kUp), kind_of("trained", kUp));
  EXPECT_LT(divergence_of("trained"), 0.9 * divergence_of("integers"));
}

// Blocks that share weights go on sharing them; integers of theirs stay integers.
TEST_F(LearningRecipes, SharedWeightsAreTrainedTogether) {
  const std::string share = "- {method: share, num_groups: 4, rank: 16}\n";
  const std::string distill = "- {method: distill, learning_rate: 1e-3, " + kShort + "}\n";
  const CompressionReport untrained = run("before", share);
  const CompressionReport report = run("after", share + distill);
  EXPECT_EQ(kind_of("after", "model.layers.1.mlp.up_proj"), "shared + rank 16");
  EXPECT_LT(divergence_of("after"), 0.8 * divergence_of("before"));
  EXPECT_EQ(report.bits_per_weight, untrained.bits_per_weight);
  const std::string integers = share + "- {method: gptq, bits: 3, group_size: 32}\n";
  run("integers", integers);
  run("trained", integers + distill);
  EXPECT_EQ(kind_of("integers", kUp), kind_of("trained", kUp));
  EXPECT_LT(divergence_of("trained"), 0.9 * divergence_of("integers"));
}

TEST_F(LearningRecipes, LoraMergesIntoPrunedWeightsAndKeepsTheirZeros) {
  run("after", "- {method: magnitude, sparsity: 0.5}\n- {method: lora, " + kFewSteps + "}\n");
  run("before", "- {method: magnitude, sparsity: 0.5}\n");
  EXPECT_EQ(kind_of("after", kUp), "bfloat16 bitmap");
  Model before = Model::load(directory_ / "before");
  Model after = Model::load(directory_ / "after");
  for (const auto& [role, linear] : before.block(2).linears) {
    const Matrix now = after.block(2).linears.at(role).weight->dense();
    EXPECT_TRUE(((linear.weight->dense().array() != 0.0F) || (now.array() == 0.0F)).all());
    EXPECT_FALSE(linear.weight->dense() == now);
  }
}

TEST_F(LearningRecipes, QuantisationAwareTrainingEndsOnItsGrid) {
  run("rounded", "- {method: rtn, bits: 2, group_size: 64}\n");
  run("trained", "- {method: qat, bits: 2, group_size: 64, distill_weight: 1, " + kShort + "}\n");
  EXPECT_EQ(kind_of("trained", kUp), "2 bits group 64");
  EXPECT_LT(divergence_of("trained"), divergence_of("rounded"));
  run("ternary", "- {method: qat, bits: 2, symmetric: true, ternary: true, strategy: channel, " +
                     kShort + "}\n");
  const Model ternary = Model::load(directory_ / "ternary");
  const Matrix weight = ternary.block(0).linears.at(LinearRole::up_proj).weight->dense();
  for (std::int64_t row = 0; row < 5; ++row) {
    const float largest = weight.row(row).cwiseAbs().maxCoeff();
    for (std::int64_t column = 0; column < weight.cols(); ++column) {
      const float value = std::abs(weight(row, column));
      EXPECT_TRUE(value == 0.0F || value == largest);
    }
  }
}

TEST_F(LearningRecipes, AutoRoundIsBetterThanGptq) {
  const std::string grid = "bits: 2, group_size: 64";
  run("gptq", "- {method: gptq, " + grid + "}\n");
  run("tuned", "- {method: autoround, iters: 40, batch_size: 4, " + grid + "}\n");
  EXPECT_EQ(kind_of("tuned", kUp), "2 bits group 64");
  EXPECT_LT(divergence_of("tuned"), divergence_of("gptq"));
}

// Without a step it is what it begins with; options may depend on the linear.
TEST_F(LearningRecipes, AutoRoundBeginsAsRoundToNearest) {
  const std::string grid = "bits: {default: 3, down_proj: 4}, group_size: 64, targets: blocks 1-2";
  run("nearest", "- {method: rtn, " + grid + "}\n");
  run("tuned", "- {method: autoround, iters: 0, " + grid + "}\n");
  const Checkpoint nearest = Checkpoint::open(directory_ / "nearest");
  const Checkpoint tuned = Checkpoint::open(directory_ / "tuned");
  ASSERT_EQ(nearest.names(), tuned.names());
  EXPECT_EQ(nearest.config(), tuned.config());
  for (const std::string& name : nearest.names()) {
    EXPECT_TRUE(std::ranges::equal(nearest.tensor(name).bytes(), tuned.tensor(name).bytes()))
        << name;
  }
}

TEST_F(LearningRecipes, AutoRoundKeepsZeros) {
  const std::string prune = "- {method: sparsegpt, structure: \"2:4\"}\n";
  run("rounded", prune + "- {method: rtn, bits: 3, group_size: 64}\n");
  run("tuned", prune + "- {method: autoround, bits: 3, group_size: 64, iters: 20}\n");
  EXPECT_EQ(kind_of("tuned", kUp), "3 bits group 64 2:4");
  EXPECT_LT(divergence_of("tuned"), divergence_of("rounded"));
}

// Of a run that is not calibrated nothing is written before its first copy but what it is.
TEST_F(LearningRecipes, CopiesOfAnotherRunAreNotGoneOnFrom) {
  class Interrupted : public Progress {
   public:
    void note(std::string_view /*text*/) override {
      if (++steps_ == 3) throw failure("interrupted");
    }

   private:
    int steps_ = 0;
  };
  const std::string ids = test::source_path("tests/oracle/docs-llama/calibration_ids.npy").string();
  const auto recipe = [&](const std::string& rate) {
    return parse_recipe("training: {tokens: " + ids +
                            ", window: 64}\nsteps: [{method: lora, max_steps: 5, batch_size: 2, "
                            "save_steps: 1, learning_rate: " +
                            rate + "}]",
                        "test.yaml");
  };
  const fs::path out = directory_ / "out";
  Progress silent;
  Interrupted interrupted;
  test::expect_error(ErrorKind::failed, "interrupted",
                     [&] { compress(model(), out, recipe("1e-3"), {}, interrupted); });
  test::expect_error(ErrorKind::bad_input, "learning_rate",
                     [&] { compress(model(), out, recipe("2e-3"), {}, silent); });
  compress(model(), out, recipe("1e-3"), {}, silent);
  compress(model(), directory_ / "undisturbed", recipe("1e-3"), {}, silent);
  EXPECT_EQ(read_file(out / "model.safetensors"),
            read_file(directory_ / "undisturbed" / "model.safetensors"));
}

TEST_F(LearningRecipes, AnotherModelTeaches) {
  const std::string keep = "- {method: keep, num_hidden_layers: 2}\n";
  run("tuned", "- {method: finetune, learning_rate: 1e-3, " + kFewSteps + "}\n");
  const std::string distill =
      keep + "- {method: distill, learning_rate: 2e-3, " + kFewSteps + "}\n";
  run("taught", distill);
  run("by_another", distill, ", teacher: " + (directory_ / "tuned").string());
  EXPECT_NE(read_file(directory_ / "taught" / "model.safetensors"),
            read_file(directory_ / "by_another" / "model.safetensors"));
  // The same model under another name teaches the same.
  fs::copy(model(), directory_ / "copy");
  run("by_a_copy", distill, ", teacher: " + (directory_ / "copy").string());
  EXPECT_EQ(read_file(directory_ / "taught" / "model.safetensors"),
            read_file(directory_ / "by_a_copy" / "model.safetensors"));
  // Two tokens change places.
  const fs::path tokenizer = directory_ / "copy" / "tokenizer.json";
  std::string text = read_file(tokenizer);
  for (const auto& [from, to] :
       {std::pair(": 730,", ": 0730,"), {": 731,", ": 730,"}, {": 0730,", ": 731,"}}) {
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, std::string(from).size(), to);
  }
  write_file(tokenizer, text);
  test::expect_error(ErrorKind::bad_input, "cannot teach the student", [&] {
    run("refused", distill, ", teacher: " + (directory_ / "copy").string());
  });
}

// Blocks, heads and channels of the whole model, which teaches them.
TEST_F(LearningRecipes, AStudentIsMadeOfItsTeacher) {
  const std::string keep =
      "- {method: keep, num_hidden_layers: 3, num_attention_heads: 2, intermediate_size: 384}\n";
  run("before", keep);
  run("taught", keep + "- {method: distill, learning_rate: 2e-3, " + kShort + "}\n");
  const Model student = Model::load(directory_ / "taught");
  EXPECT_EQ(student.architecture().num_hidden_layers, 3);
  EXPECT_EQ(student.architecture().num_attention_heads, 2);
  EXPECT_EQ(student.architecture().num_key_value_heads, 1);
  EXPECT_EQ(student.architecture().intermediate_size, 384);
  EXPECT_LT(divergence_of("taught"), 0.8 * divergence_of("before"));
}

// The second run reads what the first one wrote, and ends with the same bytes.
TEST_F(LearningRecipes, DistilFromAFileOfTheTeachersOutputs) {
  const fs::path file = directory_ / "teacher.safetensors";
  const std::string training = ", teacher_outputs: " + file.string();
  const std::string before = "- {method: rtn, bits: 2, group_size: 64}\n";
  const std::string steps = before + "- {method: distill, " + kShort + "}\n";
  run("before", before);
  run("first", steps, training);
  const auto written = fs::last_write_time(file);
  const std::string digest = file_digest(file);
  run("second", steps, training);
  EXPECT_EQ(fs::last_write_time(file), written);
  EXPECT_EQ(file_digest(directory_ / "first" / "model.safetensors"),
            file_digest(directory_ / "second" / "model.safetensors"));
  // Another student of the same teacher.
  run("qat", "- {method: qat, bits: 2, group_size: 64, distill_weight: 1, " + kShort + "}\n",
      training);
  EXPECT_EQ(file_digest(file), digest);
  run("in process", steps);
  const double untrained = divergence_of("before");
  const double in_file = divergence_of("first");
  EXPECT_LT(in_file, 0.9 * untrained);
  EXPECT_LT(divergence_of("qat"), 0.9 * untrained);
  // A quarter of the mass is outside the top of this small model.
  EXPECT_NEAR(in_file, divergence_of("in process"), 0.1 * in_file);
  test::expect_error(ErrorKind::bad_input, "the 64 most probable tokens where 5 are wanted",
                     [&] { run("refused", steps, training + ", teacher_top_k: 5"); });
  EXPECT_FALSE(fs::exists(directory_ / "refused"));
  EXPECT_FALSE(fs::exists(directory_ / "refused.part"));
}

// Windows are as long as the student takes them.
TEST_F(LearningRecipes, ATeacherInAFileMayHaveALongerContext) {
  const fs::path longer = directory_ / "longer";
  fs::copy(model(), longer);
  Json config = read_json(longer / "config.json");
  config["max_position_embeddings"] = 512;
  write_file(longer / "config.json", config.dump());
  std::vector<std::int32_t> ids =
      read_token_ids(test::source_path("tests/oracle/docs-llama/calibration_ids.npy")).ids;
  ids.resize(600);
  write_file(directory_ / "ids.json", Json(ids).dump());
  const Recipe recipe = parse_recipe(
      "training: {tokens: " + (directory_ / "ids.json").string() + ", teacher: " + longer.string() +
          ", teacher_outputs: " + (directory_ / "outputs").string() +
          "}\nsteps:\n- {method: distill, max_steps: 1, batch_size: 1}\n",
      "test.yaml");
  Progress silent;
  EXPECT_NO_THROW(compress(model(), directory_ / "taught", recipe, {}, silent));
}

TEST_F(LearningRecipes, RefuseWhatCannotBe) {
  const auto refused = [&](const std::string& steps, ErrorKind kind, const std::string& says) {
    test::expect_error(kind, says, [&] { run("refused", steps); });
    EXPECT_FALSE(fs::exists(directory_ / "refused"));
  };
  refused("- {method: gptq}\n- {method: qat}\n", ErrorKind::usage, "both quantise it");
  refused("- {method: qat}\n- {method: wanda}\n", ErrorKind::usage, "prune first");
  refused("- {method: qat, bits: 3, group_size: 100}\n", ErrorKind::usage, "group_size 100");
  refused("- {method: lora, r: {default: 8, mlp: 4}}\n", ErrorKind::bad_input, "one value must do");
  refused("- {method: lora, batch_size: 100000}\n", ErrorKind::bad_input, "fewer than a step");
  refused("- {method: rtn}\n- {method: keep, num_hidden_layers: 3}\n", ErrorKind::usage,
          "let it be the first step");
  refused("- {method: gptq}\n- {method: autoround}\n", ErrorKind::usage, "both quantise it");
  refused("- {method: svd}\n- {method: lora}\n", ErrorKind::usage, "would multiply out");
  refused("- {method: svd}\n- {method: qat}\n", ErrorKind::usage, "has taken it apart");
  refused("- {method: svd}\n- {method: autoround}\n", ErrorKind::usage, "has taken it apart");
  refused("- {method: autoround, iters: {default: 8, mlp: 4}}\n", ErrorKind::bad_input,
          "one value must do");
  Recipe recipe = one_step_recipe("lora", {});
  Progress silent;
  test::expect_error(ErrorKind::usage, "lora learns from text",
                     [&] { compress(model(), directory_ / "refused", recipe, {}, silent); });
}

TEST_F(LearningRecipes, EmbeddingsAreRoundedAsTheyWereLearned) {
  const std::string learn = "- {method: finetune, learning_rate: 3e-3, " + kFewSteps + "}\n";
  run("learned", learn);
  run("rounded", learn + "output: {embeddings_bits: 8}\n");
  const Matrix learned = Model::open(directory_ / "learned").embedding().dense();
  const Matrix rounded = Model::open(directory_ / "rounded").embedding().dense();
  const Matrix before = Model::open(model()).embedding().dense();
  EXPECT_LT((rounded - learned).squaredNorm(), 0.1F * (before - learned).squaredNorm());
}

// What a step learned is one more pass: the next one sees it, and goes on from it.
TEST_F(LearningRecipes, LaterStepsSeeWhatWasLearned) {
  run("both",
      "- {method: finetune, learning_rate: 3e-3, " + kShort + "}\n- {method: rtn, bits: 8}\n");
  run("alone", "- {method: rtn, bits: 8}\n");
  EXPECT_EQ(kind_of("both", kUp), "8 bits group 128");
  const Model both = Model::load(directory_ / "both");
  const Model alone = Model::load(directory_ / "alone");
  const auto weight = [](const Model& m) {
    return m.block(0).linears.at(LinearRole::up_proj).weight->dense();
  };
  const Matrix difference = weight(both) - weight(alone);
  EXPECT_GT(difference.squaredNorm(), 1e-3F * weight(alone).squaredNorm());
  EXPECT_NE(both.final_norm().weight, alone.final_norm().weight);
}

// Gradients of scales, adapters, embeddings and norms, the loss, the clipping and the teacher.
TEST_F(LearningRecipes, ThreadsDoNotChangeAByte) {
  const std::string training = "max_steps: 3, batch_size: 4, learning_rate: 1e-3";
  const std::string quantise = "- {method: rtn, bits: 3, group_size: 64}\n";
  const std::map<std::string, std::string> recipes = {
      {"distill", quantise + "- {method: distill, " + training + "}\n"},
      {"lora", quantise + "- {method: lora, use_dora: true, " + training + "}\n"},
      {"autoround",
       "- {method: autoround, bits: 2, group_size: 64, iters: 3, targets: blocks 0}\n"}};
  const int before = thread_count();
  for (const auto& [name, steps] : recipes) {
    std::set<std::string> digests;
    for (const int threads : {1, 2, 3}) {
      set_thread_count(threads);
      run(name, steps);
      digests.insert(file_digest(directory_ / name / "model.safetensors"));
    }
    EXPECT_EQ(digests.size(), 1U) << name;
  }
  set_thread_count(before);
}

}  // namespace
}  // namespace terse
