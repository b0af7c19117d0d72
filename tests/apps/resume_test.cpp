// Whatever interrupts `terse compress`, the same command goes on and ends with the same bytes:
// kills at every kind of moment, writes that fail or are torn, disks that lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <set>

#include "apps/files.h"
#include "apps/resumable.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kGptq = "steps:\n  - {method: gptq, bits: 4, group_size: 16}\n";

// Loading libtorch takes a second each time.
constexpr std::size_t kFewPlaces = 10;

// Whether the training module was built.
bool can_learn() {
  return fs::exists(fs::path(TERSE_PROGRAM).parent_path() / "libterse_train.so");
}

// What needs the training module.
std::vector<Resumable> learning_runs() {
  if (!can_learn()) return {};
  return {{.name = "lora",
           .recipe = "steps:\n  - {method: rtn, bits: 4, group_size: 16}\n"
                     "  - {method: lora, r: 2, max_steps: 3, batch_size: 8, save_steps: 1, "
                     "save_adapter: true}\n",
           .learns = true},
          {.name = "autoround",
           .recipe = "steps:\n  - {method: wanda, sparsity: 0.3}\n"
                     "  - {method: autoround, bits: 3, group_size: 16, iters: 3, batch_size: 2}\n",
           .arguments = {"--activation-interval", "0"},
           .places = kFewPlaces},
          {.name = "cached_teacher",
           .recipe = "steps:\n  - {method: distill, max_steps: 2, batch_size: 8, save_steps: 1}\n",
           .learns = true,
           .caches_teacher = true,
           .places = kFewPlaces},
          {.name = "train",
           .arguments = {"--max-steps", "3", "--batch-size", "8", "--save-steps", "1"},
           .trains = true}};
}

std::vector<Resumable> all_runs() {
  const std::vector<std::string> always{"--activation-interval", "0"};
  return {
      {.name = "spilled", .recipe = kGptq, .arguments = always, .spill = true},
      {.name = "owl",
       .recipe = "steps:\n  - {method: sparsegpt, sparsity: 0.5, allocation: owl}\n",
       .spill = true},
      {.name = "ranks",
       .recipe = "steps:\n  - {method: svd_llm, ratio: 0.6, allocation: energy, multiple: 1}\n",
       .arguments = always,
       .spill = true},
      {.name = "reshaped",
       .recipe = "steps:\n  - {method: flap, ratio: 0.3, multiple: 2, compensation: affine}\n"
                 "  - {method: rtn, bits: 4, group_size: 2}\n",
       .arguments = always,
       .spill = true},
      {.name = "tried",
       .recipe = "steps:\n  - {method: block_pruner, ratio: 0.4}\n"
                 "  - {method: rtn, bits: 4, group_size: 16}\n",
       .arguments = always,
       .places = kFewPlaces},
      {.name = "shared",
       .recipe = "steps:\n  - {method: share, num_groups: 1, rank: 3}\n"
                 "  - {method: gptq, bits: 4, group_size: 16}\n",
       .arguments = always},
      {.name = "sliced",
       .recipe = "steps:\n  - {method: slicegpt, ratio: 0.3, multiple: 4}\n"
                 "  - {method: rtn, bits: 4, group_size: 4}\n",
       .arguments = always,
       .spill = true},
      {.name = "experts",
       .recipe = kGptq,
       .arguments = always,
       .spill = true,
       .experts = true,
       .places = kFewPlaces},
      {.name = "two_passes",
       .recipe = "steps:\n  - {method: wanda, sparsity: 0.3}\n"
                 "  - {method: sparsegpt, sparsity: 0.5, remeasure: true}\n",
       .arguments = always},
      {.name = "dequantized",
       .recipe = "steps:\n  - {method: smoothquant}\n  - {method: gptq, bits: 4, group_size: 16}\n"
                 "output: {dequantize: true, embeddings_bits: 8}\n",
       .arguments = always},
      {.name = "self_generated", .recipe = kGptq, .self_generated = true},
      {.name = "replacing",
       .recipe = "steps:\n  - {method: rtn, bits: 4, group_size: 16}\n",
       .replaces = true},
      {.name = "replacing_without_exchange",
       .recipe = "steps:\n  - {method: rtn, bits: 4, group_size: 16}\n",
       .replaces = true,
       .exchanges = false}};
}

std::string name_of(const testing::TestParamInfo<Resumable>& tested) {
  return tested.param.name;
}

class Resume : public testing::TestWithParam<Resumable> {
 protected:
  void SetUp() override {
#ifndef TERSE_FAULT_INJECTION
    GTEST_SKIP() << "faults cannot be injected into a build with sanitizers";
#endif
    calls_ = run_.calls();
    expected_ = run_.output();
    left_ = tree(run_.outputs());
    if (GetParam().caches_teacher) teacher_ = read_text(run_.teacher_outputs());
    ASSERT_GT(calls_.size(), GetParam().places);
    ASSERT_FALSE(expected_.empty());
    run_.reset();
  }

  std::string describe(const Fault& fault) const {
    return fault.what + " at call " + std::to_string(fault.at) + " of " +
           std::to_string(calls_.size()) + ": " + calls_[fault.at].name + " " +
           calls_[fault.at].path;
  }

  // What a forced run is to replace is whole until the new output is.
  void expect_older_or_complete() const {
    const auto found = run_.output();
    if (!GetParam().replaces) {
      EXPECT_TRUE(found.empty() || found == expected_);
      return;
    }
    if (!GetParam().exchanges && found.empty()) {
      EXPECT_EQ(read_text(run_.outputs() / "out.old/model.safetensors"), "precious");
      return;
    }
    EXPECT_TRUE(found == run_.older_output() || found == expected_);
  }

  bool is_done() const {
    return run_.output() == expected_ && tree(run_.outputs()) == left_;
  }

  void expect_only_the_output() const {
    EXPECT_TRUE(run_.output() == expected_) << "other bytes";
    EXPECT_EQ(tree(run_.outputs()), left_);
    if (GetParam().caches_teacher) {
      EXPECT_TRUE(read_text(run_.teacher_outputs()) == teacher_) << "other outputs of the teacher";
    }
  }

  // The same command again, to the end.
  void expect_goes_on() {
    expect_older_or_complete();
    if (!is_done() || GetParam().replaces) {
      const ProgramResult again = run_.run();
      EXPECT_EQ(again.code, 0) << again.err;
    }
    expect_only_the_output();
    run_.reset();
  }

  // The call from which on only the name is missing.
  std::size_t start_of_commit() const {
    const auto marked = std::ranges::find_if(calls_, [](const FileCall& call) {
      return call.name == "pwrite" && call.path.ends_with(".terse-part");
    });
    return static_cast<std::size_t>(marked - calls_.begin());
  }

  // Times that the list was saved before a call of the undisturbed run.
  int saves_before(std::size_t call) const {
    int saved = 0;
    for (std::size_t i = 0; i < call; ++i) {
      saved += calls_[i].name == "rename" && calls_[i].path.ends_with("journal.json.part") ? 1 : 0;
    }
    return saved;
  }

  ResumableRun run_{GetParam()};
  std::vector<FileCall> calls_;
  std::map<std::string, std::string> expected_;
  std::vector<std::string> left_;  // names of all files of an undisturbed run
  std::string teacher_;
};

TEST_P(Resume, AKillLosesNothing) {
  const std::vector<std::string> kinds{"kill", "tear-kill", "kill-after", "lie-kill"};
  const std::vector<std::size_t> places = spread(calls_.size(), GetParam().places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Fault fault{.what = kinds[i % kinds.size()], .at = places[i]};
    SCOPED_TRACE(describe(fault));
    // A lie just before the end is not found out.
    if (fault.what == "lie-kill" && fault.at + 2 >= calls_.size()) continue;
    // A file that a person named is refused when it is torn, not written over.
    if (fault.what == "lie-kill" && calls_[fault.at].path.find("/teacher.") != std::string::npos) {
      continue;
    }
    const int code = run_.run_into(fault).code;
    // What was lost may be missed before the kill comes.
    const bool missed = fault.what == "lie-kill" && code == 1;
    EXPECT_TRUE(missed || code == -SIGKILL) << code;
    expect_goes_on();
  }
}

TEST_P(Resume, AWriteThatFailsLosesNothing) {
  const std::vector<Fault> kinds{{.what = "full", .error = ENOSPC},
                                 {.what = "fail", .error = EIO},
                                 {.what = "tear-fail", .error = ENOSPC},
                                 {.what = "fail", .error = ENOSPC}};
  const std::vector<std::size_t> places = spread(calls_.size(), GetParam().places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    Fault fault = kinds[i % kinds.size()];
    fault.at = places[i];
    SCOPED_TRACE(describe(fault));
    const ProgramResult result = run_.run_into(fault);
    if (result.code == 0) {
      // Nothing that takes space came after the place, or the file was to be removed only.
      EXPECT_TRUE(fault.what != "fail" || calls_[fault.at].name == "unlink") << result.out;
      expect_only_the_output();
      run_.reset();
      continue;
    }
    expect_refused(result, 1, {"and run the same command again"});
    EXPECT_THAT(result.err, HasSubstr(fault.error == EIO ? "Input/output error"
                                                         : "No space left on device; free space"));
    expect_goes_on();
  }
}

INSTANTIATE_TEST_SUITE_P(, Resume, testing::ValuesIn(all_runs()), name_of);
INSTANTIATE_TEST_SUITE_P(Learning, Resume, testing::ValuesIn(learning_runs()), name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Resume);

// The moments at which the new output takes the place of the older one, all of them.
class ResumeReplacing : public Resume {};

TEST_P(ResumeReplacing, EveryMomentOfTheExchangeIsSafe) {
  ASSERT_LT(start_of_commit(), calls_.size());
  for (std::size_t at = start_of_commit(); at < calls_.size(); ++at) {
    for (const char* kind : {"kill", "tear-kill"}) {
      const Fault fault{.what = kind, .at = at};
      SCOPED_TRACE(describe(fault));
      EXPECT_EQ(run_.run_into(fault).code, -SIGKILL);
      expect_goes_on();
    }
    // Where names cannot be exchanged, they are changed one after the other.
    if (calls_[at].name == "renameat2") continue;
    const Fault fault{.what = "fail", .at = at, .error = EIO};
    SCOPED_TRACE(describe(fault));
    expect_refused(run_.run_into(fault), 1, {"Input/output error"});
    expect_goes_on();
  }
}

std::vector<Resumable> replacing_runs() {
  std::vector<Resumable> runs = all_runs();
  std::erase_if(runs, [](const Resumable& run) { return !run.replaces; });
  return runs;
}

INSTANTIATE_TEST_SUITE_P(, ResumeReplacing, testing::ValuesIn(replacing_runs()), name_of);
// The exchange is the same for all of a recipe: one that leaves an adapter, and `terse train`.
std::vector<Resumable> learning_exchanges() {
  std::vector<Resumable> runs = learning_runs();
  std::erase_if(runs, [](const Resumable& run) { return run.name != "lora" && !run.trains; });
  return runs;
}

INSTANTIATE_TEST_SUITE_P(Learning, ResumeReplacing, testing::ValuesIn(learning_exchanges()),
                         name_of);

// One run is enough for these.
class ResumeSpilled : public Resume {};

TEST_P(ResumeSpilled, ActivationsWentToDisk) {
  const auto of_store = [](const FileCall& call) {
    return call.name == "pwrite" && call.path.find("/activations.") != std::string::npos;
  };
  EXPECT_GT(std::ranges::count_if(calls_, of_store), 10);
}

TEST_P(ResumeSpilled, FinishedBlocksAreNotComputedAgain) {
  // The list is saved with the tokens first, then with every block.
  for (const std::size_t at : spread(start_of_commit(), 12)) {
    const Fault fault{.what = "kill", .at = at};
    SCOPED_TRACE(describe(fault));
    run_.run_into(fault);
    const ProgramResult again = run_.run_with({"--json"});
    expect_done(again);
    const int expected = std::clamp(saves_before(at) - 1, 0, ResumableRun::kBlocks);
    // Blocks are written while others are computed: the order of calls is not quite the same.
    EXPECT_GE(again.json().at("resumed_blocks"), expected - 1);
    EXPECT_LE(again.json().at("resumed_blocks"), expected + 1);
    run_.reset();
  }
}

TEST_P(ResumeSpilled, ARunThatIsKilledAgainAndAgainEnds) {
  int runs = 0;
  while (run_.run_into({.what = "kill", .at = 210}).code == -SIGKILL) ASSERT_LT(++runs, 20);
  EXPECT_GE(runs, 1);
  expect_only_the_output();
}

// Files that were durable and named, and are not whole after all.
TEST_P(ResumeSpilled, ADiskThatLiesIsFoundOut) {
  std::vector<std::size_t> writes;
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].name == "write" && calls_[i].path.find(".terse-work") != std::string::npos) {
      writes.push_back(i);
    }
  }
  for (const std::size_t index : spread(writes.size(), 16)) {
    const Fault fault{.what = "lie-kill", .at = writes[index], .delay = 12};
    SCOPED_TRACE(describe(fault));
    EXPECT_EQ(run_.run_into(fault).code, -SIGKILL);
    expect_goes_on();
  }
}

INSTANTIATE_TEST_SUITE_P(, ResumeSpilled, testing::Values(all_runs()[0]), name_of);

}  // namespace
}  // namespace terse::test
