#include "terse/recipe/recipe_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/expect_error.h"
#include "support/temporary_directory.h"
#include "terse/core/error.h"

namespace terse {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;

Recipe parse(const std::string& text) {
  return parse_recipe(text, "recipe.yaml");
}

// A refused recipe: the place, then what is said.
void refused(const std::string& text, const std::string& place, const std::string& says) {
  SCOPED_TRACE(text.substr(0, 200));
  expect_error(ErrorKind::bad_input, says, [&] {
    try {
      parse(text);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith("recipe.yaml:" + place + ": "));
      throw;
    }
  });
}

TEST(RecipeText, ReadsEveryKey) {
  const Recipe recipe = parse(R"(# all of it
calibration:
  text: [notes.txt, "a dir/"]
  text_key: body
  samples: 32
  window: 512
  seed: 7
true_sequential: false
steps:
  - method: rtn
    strategy: channel
    symmetric: true
    targets: [mlp, "attention blocks 0-5"]
    ignore: [down_proj]
  - method: gptq
    bits: {default: 4, down_proj: 8, "blocks 0": 6}
    percdamp: 1e-3
    remeasure: true
output:
  embeddings_bits: 8
  dequantize: true
  sparse: dense
)");
  EXPECT_THAT(recipe.calibration.texts, ElementsAre("notes.txt", "a dir/"));
  EXPECT_EQ(recipe.calibration.text_key, "body");
  EXPECT_TRUE(recipe.calibration.token_file.empty());
  EXPECT_EQ(recipe.calibration.samples, 32);
  EXPECT_EQ(recipe.calibration.window, 512);
  EXPECT_EQ(recipe.calibration.seed, 7U);
  EXPECT_FALSE(recipe.true_sequential);
  ASSERT_EQ(recipe.steps.size(), 2U);
  EXPECT_EQ(recipe.steps[0],
            (RecipeStep{"rtn",
                        {{"strategy", {"channel", {}}}, {"symmetric", {"true", {}}}},
                        {"mlp", "attention blocks 0-5"},
                        {"down_proj"},
                        false}));
  EXPECT_EQ(recipe.steps[1], (RecipeStep{"gptq",
                                         {{"bits", {"4", {{"down_proj", "8"}, {"blocks 0", "6"}}}},
                                          {"percdamp", {"1e-3", {}}}},
                                         {},
                                         {},
                                         true}));
  EXPECT_EQ(
      recipe.output,
      (OutputSettings{.embeddings_bits = 8, .dequantize = true, .sparse = SparseStorage::dense}));
}

TEST(RecipeText, LeavesTheRestByDefault) {
  const Recipe recipe = parse("steps: [{method: rtn}]");
  EXPECT_TRUE(recipe.calibration.self_generated());
  EXPECT_EQ(recipe.calibration.text_key, "text");
  EXPECT_EQ(recipe.calibration.samples, 128);
  EXPECT_EQ(recipe.calibration.window, 0);
  EXPECT_TRUE(recipe.true_sequential);
  ASSERT_EQ(recipe.steps.size(), 1U);
  EXPECT_EQ(recipe.steps[0], (RecipeStep{"rtn", {}, {}, {}, false}));
  EXPECT_EQ(recipe.output, OutputSettings{});
}

TEST(RecipeText, AWordStandsForAListOfOne) {
  const Recipe recipe = parse(
      "calibration: {text: notes.txt}\n"
      "steps: [{method: rtn, targets: mlp, ignore: blocks -1}]");
  EXPECT_THAT(recipe.calibration.texts, ElementsAre("notes.txt"));
  EXPECT_THAT(recipe.steps[0].targets, ElementsAre("mlp"));
  EXPECT_THAT(recipe.steps[0].ignore, ElementsAre("blocks -1"));
}

TEST(RecipeText, ATableMayLeaveTheDefaultToTheMethodAndKeepsItsOrder) {
  const Recipe recipe = parse("steps: [{method: gptq, bits: {mlp: 3, k_proj: 8, attention: 5}}]");
  const StepOption& bits = recipe.steps[0].options.at("bits");
  EXPECT_EQ(bits.value, "");
  EXPECT_THAT(bits.table,
              ElementsAre(Pair("mlp", "3"), Pair("k_proj", "8"), Pair("attention", "5")));
}

TEST(RecipeText, QuotesAndTokensAndZeroBitsAreTaken) {
  const Recipe recipe = parse(
      "calibration: {tokens: ids.npy}\r\n"
      "steps:\r\n- {\"method\": 'rtn', bits: \"5\"}\r\n"
      "output: {embeddings_bits: 0}\r\n");
  EXPECT_EQ(recipe.calibration.token_file, "ids.npy");
  EXPECT_EQ(recipe.steps[0].options.at("bits").value, "5");
  EXPECT_EQ(recipe.output.embeddings_bits, 0);
}

TEST(RecipeText, RefusesWhatIsNoYaml) {
  refused("steps: [", "1:9", "not valid YAML: end of sequence flow not found");
  refused("steps:\n  - method: rtn\n   bits: 4\n", "3:4", "not valid YAML: end of sequence");
  refused("steps: [\n{method: rtn}, \n\n", "2:15", "not valid YAML: end of sequence flow");
  refused("steps: 'rtn\n", "1:12", "not valid YAML: illegal EOF in scalar");
  refused("output: {sparse: \"dense\n  # open\n", "2:9", "not valid YAML: illegal EOF in scalar");
  refused("\tsteps: 1", "1:7", "not valid YAML");
}

TEST(RecipeText, RefusesUnknownKeysAtTheirPlace) {
  refused("step: [{method: rtn}]", "1:1", "unknown key 'step' in a recipe; did you mean 'steps'?");
  refused("steps: [{method: rtn}]\noutput:\n  embedding_bits: 8", "3:3",
          "unknown key 'embedding_bits' in output; did you mean 'embeddings_bits'?");
  refused("calibration: {windows: 4}\nsteps: [{method: rtn}]", "1:15",
          "unknown key 'windows' in calibration; did you mean 'window'?");
  refused("steps:\n  - method: gptq\n    bit: 4", "3:5",
          "unknown key 'bit' in a step of gptq; did you mean 'bits'?");
  refused("steps:\n  - target: mlp\n    method: gptq\n", "2:5", "did you mean 'targets'?");
  // An option of another method is unknown here.
  refused("steps: [{method: rtn, percdamp: 0.1}]", "1:23",
          "unknown key 'percdamp' in a step of rtn");
}

TEST(RecipeText, RefusesWrongOptionsAtTheirPlace) {
  refused("steps:\n  - method: gptk", "2:13", "unknown method 'gptk'; did you mean 'gptq'?");
  refused("steps:\n  - method: gptq\n    bits: 9", "3:11", "option bits: 9 is outside 2 to 8");
  refused("steps:\n  - method: gptq\n    bits:\n      mlp: 4\n      k_proj: two", "5:15",
          "option bits: expected an integer, found 'two'");
  refused("steps: [{method: gptq, bits: {default: 1}}]", "1:40", "1 is outside 2 to 8");
  refused("steps: [{method: gptq, bits: {\"blocks x\": 4}}]", "1:31",
          "selector 'blocks x': expected blocks by number");
  refused("steps: [{method: gptq, bits: {mlp: 4, mlp: 5}}]", "1:39",
          "the key 'mlp' is given twice");
  refused("steps: [{method: gptq, bits: {mlp: [4]}}]", "1:36",
          "option bits: expected a value, found a list");
  refused("steps: [{method: gptq, bits: {}}]", "1:30",
          "option bits: expected a value or a table of selectors, found an empty table");
  refused("steps: [{method: gptq, bits: [4]}]", "1:30",
          "option bits: expected a value or a table of selectors, found a list");
  refused("steps:\n- method: gptq\n  bits:\n", "3:3", "option bits: expected");
  refused("steps: [{method: gptq, clip: ''}]", "1:30", "option clip: the value is empty");
  refused("steps: [{method: gptq, desc_act: yes}]", "1:34", "expected true or false, found 'yes'");
}

TEST(RecipeText, RefusesOptionsThatDoNotFitTogether) {
  refused("steps:\n  - method: rtn\n    strategy: channel\n    group_size: 64\n", "2:13",
          "group_size: says nothing with strategy channel");
  // Only a model tells which linears a table leaves to the other values.
  EXPECT_NO_THROW(parse(
      "steps: [{method: rtn, strategy: {default: channel, mlp: group}, group_size: {mlp: 64}}]"));
}

TEST(RecipeText, RefusesStepsThatAreNone) {
  refused("", "1:1", "the recipe is empty");
  refused("# nothing yet\n", "1:1", "the recipe is empty");
  refused("true_sequential: true", "1:1", "the recipe has no steps");
  refused("steps:\n", "1:1", "expected a list of steps, found nothing");
  refused("steps: []", "1:8", "expected a list of steps, found an empty one");
  refused("steps: gptq", "1:8", "expected a list of steps, found the value 'gptq'");
  refused("steps: [gptq]", "1:9", "'method' among them, found the value 'gptq'");
  refused("steps: [{metod: gptq, bits: 4}]", "1:9", "'method' among them, found metod, bits");
  refused("steps: [{method: [gptq]}]", "1:18", "expected the name of a method, found a list");
  refused("[1]", "1:1", "a recipe: expected keys with values, found a list");
  refused("gptq", "1:1", "a recipe: expected keys with values, found the value 'gptq'");
}

TEST(RecipeText, RefusesSelectorsThatAreNone) {
  refused("steps:\n- method: rtn\n  targets: [mlp, 'blocks 5-2']", "3:18", "selector 'blocks 5-2'");
  refused("steps:\n- method: rtn\n  ignore: 'down_(proj'", "3:11", "no role and not a regular");
  refused("steps:\n- method: rtn\n  targets: ['']", "3:13", "expected a selector");
  refused("steps:\n- method: rtn\n  targets: []", "3:12",
          "expected a selector or a list, found an");
  refused("steps:\n- method: rtn\n  targets:\n", "3:3",
          "expected a selector or a list, found nothing");
  refused("steps:\n- method: rtn\n  targets: {mlp: 1}\n", "3:12", "found keys with values");
}

TEST(RecipeText, RefusesWrongSettings) {
  const auto calibration = [](const std::string& text) {
    return "calibration: {" + text + "}\nsteps: [{method: rtn}]";
  };
  refused(calibration("samples: 0"), "1:24", "expected an integer from 1 on, found the value '0'");
  refused(calibration("samples: 1.5"), "1:24", "expected an integer from 1 on");
  refused(calibration("samples: 99999999999999999999"), "1:24", "expected an integer from 1 on");
  refused(calibration("window: 0"), "1:23", "expected an integer from 1 on");
  refused(calibration("seed: -1"), "1:21", "expected an integer from 0 on");
  refused(calibration("text: []"), "1:21", "expected a path or a list, found an empty list");
  refused(calibration("tokens: ''"), "1:23", "expected a path");
  refused(calibration("tokens: a.npy, text: b.txt"), "1:23", "text and tokens are both given");
  refused("calibration:\nsteps: [{method: rtn}]", "1:1", "calibration: expected keys with values");
  const auto output = [](const std::string& text) {
    return "steps: [{method: rtn}]\noutput: {" + text + "}";
  };
  refused(output("embeddings_bits: 1"), "2:27", "expected an integer from 2 to 8");
  refused(output("embeddings_bits: 9"), "2:27", "expected an integer from 2 to 8");
  refused(output("dequantize: 1"), "2:22", "expected true or false, found the value '1'");
  refused(output("sparse: small"), "2:18", "expected smallest or dense, found the value 'small'");
  refused("true_sequential: maybe\nsteps: [{method: rtn}]", "1:18", "expected true or false");
  refused("steps: [{method: rtn, remeasure: []}]", "1:34", "expected true or false, found a list");
}

TEST(RecipeText, ReadsWhatStepsLearnFrom) {
  const Recipe recipe = parse_recipe(
      "training: {text: [a.txt, notes], text_key: body, window: 64, teacher_outputs: t, "
      "teacher_top_k: 16}\n"
      "steps:\n- {method: lora, r: 8}\n- {method: gptq}\n",
      "test.yaml");
  EXPECT_THAT(recipe.training.text.texts, testing::ElementsAre("a.txt", "notes"));
  EXPECT_EQ(recipe.training.text.text_key, "body");
  EXPECT_EQ(recipe.training.window, 64);
  EXPECT_EQ(recipe.training.teacher_outputs, "t");
  EXPECT_EQ(recipe.training.teacher_top_k, 16);
  EXPECT_EQ(recipe.steps.at(0).options.at("r").value, "8");
  refused("training: {tokens: a.npy, text: b.txt}\nsteps: [{method: lora}]", "1:20",
          "text and tokens are both given");
  refused("training: {window: 0}\nsteps: [{method: lora}]", "1:20",
          "expected an integer from 1 on");
  refused("training: {teacher_top_k: 0}\nsteps: [{method: distill}]", "1:27",
          "expected an integer from 1 on");
  refused("training: {seed: 1}\nsteps: [{method: lora}]", "1:12", "unknown key 'seed' in training");
}

TEST(RecipeText, RefusesTablesWhereOneValueMustDo) {
  refused("steps:\n- {method: wanda, allocation: {default: owl, mlp: uniform}}", "2:12",
          "option allocation: one value must do for all linears of a step");
  refused("steps:\n- {method: smoothquant, alpha: {default: 0.5, mlp: 0.6}}", "2:12",
          "option alpha: one value must do for all linears of a step");
}

TEST(RecipeText, RefusesWhatRecipesHaveNoUseFor) {
  refused("steps: &a [{method: rtn}]", "1:8", "anchors are not used");
  refused("steps: *a", "1:8", "");
  refused("a: &x 1\nb: *x", "1:4", "anchors are not used");
  refused("steps: !!seq []", "1:8", "tags are not used");
  refused("steps: [{method: !!python/object:os.system rtn}]", "1:18", "tags are not used");
  refused("steps: [{method: rtn}]\n---\nsteps: []", "2:1", "a second document");
  refused("? [a, b]\n: 1", "1:3", "expected a key, found a list");
  refused("{~: 1}", "1:2", "expected a key, found nothing");
  refused("steps: 1\nsteps: 2", "2:1", "the key 'steps' is given twice");
}

TEST(RecipeText, RefusesHostileTexts) {
  refused(std::string(17, '[') + std::string(17, ']'), "1:17", "nested deeper than 16 levels");
  expect_error(ErrorKind::bad_input, "nested deeper than 16 levels",
               [] { parse(std::string(500'000, '[')); });
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "? ";
  refused(nested, "1:33", "nested deeper than 16 levels");
  refused("steps: 1 #" + std::string(1 << 20, 'x'), "1:1", "at most 1048576");
  refused("steps:\n  - \xff", "2:5", "is not UTF-8");
  refused("\xff\xfes\0t\0", "1:1", "is not UTF-8");
  refused(std::string("steps: \0", 8), "1:8", "control character \\x00");
  // The byte that yaml-cpp takes for the end of a text.
  refused("steps: [{method: rtn}]\n\x04 hidden: 1", "2:1", "control character \\x04");
  refused("steps:\rx", "1:7", "control character \\x0d");
}

TEST(RecipeText, LongValuesAreCutInMessages) {
  try {
    parse("steps: [{method: " + std::string(100'000, 'x') + "}]");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 500U);
  }
}

TEST(RecipeText, ColumnsCountCharacters) {
  refused("steps: [{method: rtn, targets: [\"caf\xc3\xa9\"], bit: 4}]", "1:42",
          "unknown key 'bit'");
  // A byte order mark is no column.
  refused("\xef\xbb\xbfstep: 1", "1:1", "unknown key 'step'");
  refused("\xef\xbb\xbfsteps: \xff", "1:8", "is not UTF-8");
}

TEST(LoadRecipe, ReadsFilesAndReadyMadeOnes) {
  const TemporaryDirectory directory;
  std::ofstream(directory / "mine.yaml") << "steps:\n- method: rtn\n  bits: 3\n";
  EXPECT_EQ(load_recipe(directory / "mine.yaml").steps[0].options.at("bits").value, "3");
  const Recipe ready = load_recipe("w4-gptq");
  ASSERT_EQ(ready.steps.size(), 1U);
  EXPECT_EQ(ready.steps[0].method, "gptq");
  EXPECT_EQ(ready.output.embeddings_bits, 8);
}

TEST(LoadRecipe, SaysWhatIsNotThere) {
  const TemporaryDirectory directory;
  expect_error(ErrorKind::bad_input, "w4_gptq: no such file, and no ready-made recipe",
               [] { load_recipe("w4_gptq"); });
  expect_error(ErrorKind::bad_input, "did you mean 'w4-gptq'?", [] { load_recipe("w4_gptq"); });
  expect_error(ErrorKind::bad_input, "none.yaml: No such file",
               [&] { load_recipe(directory / "none.yaml"); });
  expect_error(ErrorKind::bad_input, "not a regular file", [&] { load_recipe(directory.path()); });
  std::ofstream(directory / "wrong.yaml") << "steps:\n- method: x\n";
  expect_error(ErrorKind::bad_input, "wrong.yaml:2:11: unknown method 'x'",
               [&] { load_recipe(directory / "wrong.yaml"); });
}

}  // namespace
}  // namespace terse
