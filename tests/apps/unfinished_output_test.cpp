// What `terse compress` does with an unfinished output that is not what it would go on with: of
// another recipe, model or calibration, damaged, made by somebody who means harm, or in use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <csignal>

#include "apps/files.h"
#include "apps/resumable.h"
#include "apps/tiny_model.h"
#include "terse/core/digest.h"
#include "terse/core/file.h"
#include "terse/formats/directory_marker.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class UnfinishedOutput : public testing::Test {
 protected:
  void SetUp() override {
#ifndef TERSE_FAULT_INJECTION
    GTEST_SKIP() << "faults cannot be injected into a build with sanitizers";
#endif
    const std::vector<FileCall> calls = run_.calls();
    expected_ = run_.output();
    // The moment after the second block was noted, when everything is there.
    int saves = 0;
    while (at_ < calls.size() && saves < 3) {
      saves +=
          calls[at_].name == "rename" && calls[at_].path.ends_with("journal.json.part") ? 1 : 0;
      ++at_;
    }
    interrupt();
  }

  void interrupt() {
    run_.reset();
    ASSERT_EQ(run_.run_into({.what = "kill", .at = at_}).code, -SIGKILL);
    ASSERT_EQ(list().at("passes").at(0).at("blocks").size(), 2U);
  }

  json list() const {
    return json::parse(read_text(run_.work() / "journal.json"));
  }
  void write_list(const json& changed) const {
    write_text(run_.work() / "journal.json", changed.dump());
  }

  // Says what differs, and leaves the work as it is.
  void expect_refused_for(const std::vector<std::string>& parts) {
    const std::vector<std::string> before = tree(run_.outputs());
    expect_refused(run_.run(), 3, parts);
    EXPECT_EQ(tree(run_.outputs()), before);
  }

  void expect_done_with(const ProgramResult& result, int resumed) {
    expect_done(result);
    EXPECT_EQ(result.json().at("resumed_blocks"), resumed);
    EXPECT_TRUE(run_.output() == expected_);
    EXPECT_FALSE(fs::exists(run_.part()));
  }

  // Goes on with so many blocks, to the same bytes.
  void expect_goes_on(int resumed) {
    expect_done_with(run_.run_with({"--json"}), resumed);
    interrupt();
  }

  void edit_recipe(const std::string& from, const std::string& to) const {
    std::string text = read_text(run_.recipe());
    ASSERT_NE(text.find(from), std::string::npos);
    write_text(run_.recipe(), text.replace(text.find(from), from.size(), to));
  }

  ResumableRun run_{{.name = "one",
                     .recipe = "steps:\n  - {method: gptq, bits: 4, group_size: 16}\n"
                               "output: {embeddings_bits: 8}\n",
                     .arguments = {"--activation-interval", "0"}}};
  std::map<std::string, std::string> expected_;
  std::size_t at_ = 0;
};

TEST_F(UnfinishedOutput, OfAnotherRecipeIsRefused) {
  edit_recipe("bits: 4", "bits: 3");
  expect_refused_for(
      {"out.part", "the recipe has changed", "steps[0].bits: 4 before, 3 now", "use --restart"});
  edit_recipe("bits: 3", "bits: 4");
  edit_recipe("samples: 140", "samples: 100");
  expect_refused_for({"the recipe has changed", "140 before, 100 now", "--restart"});
  edit_recipe("samples: 100", "samples: 140");
  expect_goes_on(2);
}

TEST_F(UnfinishedOutput, OfAnotherModelIsRefused) {
  poke(run_.model() / "model.safetensors", "model.layers.2.mlp.up_proj.weight", 5, 0x3c00);
  expect_refused_for({"the model has changed", "model.safetensors", "use --restart"});
}

TEST_F(UnfinishedOutput, OfAnotherConfigIsRefused) {
  json config = json::parse(read_text(run_.model() / "config.json"));
  config["rope_theta"] = 20000.0;
  write_text(run_.model() / "config.json", config.dump());
  expect_refused_for({"the model has changed", "config.json", "use --restart"});
}

TEST_F(UnfinishedOutput, OfAnotherCalibrationIsRefused) {
  json ids = json::parse(read_text(run_.ids()));
  ids[7] = (ids[7].get<int>() + 1) % 67;
  write_text(run_.ids(), ids.dump());
  expect_refused_for({"the calibration has changed", "ids.json", "use --restart"});
  fs::remove(run_.ids());
  expect_refused_for({"ids.json"});
}

TEST_F(UnfinishedOutput, RestartBeginsAnew) {
  expect_done_with(run_.run_with({"--json", "--restart"}), 0);
  interrupt();
  // Also where going on is refused.
  edit_recipe("bits: 4", "bits: 3");
  expect_done(run_.run_with({"--restart"}));
  EXPECT_FALSE(run_.output() == expected_);
  EXPECT_FALSE(fs::exists(run_.part()));
}

// A run that lacks nothing but its name, then one of another recipe that is killed in turn: the
// first must not take the work of the second for its own.
TEST_F(UnfinishedOutput, ACompleteOneIsNotTakenForAnother) {
  run_.reset();
  const std::vector<FileCall> calls = run_.calls();
  run_.reset();
  std::size_t named = 0;
  while (calls[named].name != "rename" || !calls[named].path.ends_with("out.part")) ++named;
  ASSERT_EQ(run_.run_into({.what = "kill", .at = named}).code, -SIGKILL);
  edit_recipe("bits: 4", "bits: 3");
  expect_refused_for({"out.part", "has changed", "use --restart"});
  ASSERT_EQ(run_.run_into({.what = "kill", .at = at_}, {"--restart"}).code, -SIGKILL);
  edit_recipe("bits: 3", "bits: 4");
  expect_refused_for({"the recipe has changed", "3 before, 4 now"});
  expect_done_with(run_.run_with({"--json", "--restart"}), 0);
}

TEST_F(UnfinishedOutput, ATornListBeginsAnew) {
  const std::string whole = read_text(run_.work() / "journal.json");
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size() - 1}) {
    write_text(run_.work() / "journal.json", whole.substr(0, size));
    expect_goes_on(0);
  }
}

TEST_F(UnfinishedOutput, DamageCostsWhatFollowsIt) {
  const auto file = [&](int block) {
    return run_.work() / fmt::format("pass-0-block-0000{}.safetensors", block);
  };
  fs::resize_file(file(1), fs::file_size(file(1)) / 2);
  expect_goes_on(1);
  fs::remove(file(0));
  expect_goes_on(0);
  std::string bytes = read_text(file(1));
  bytes[bytes.size() - 3] ^= 1;
  write_text(file(1), bytes);
  expect_goes_on(1);
  fs::remove(file(1));
  fs::create_symlink(run_.model() / "model.safetensors", file(1));
  expect_goes_on(1);
  write_text(run_.work() / "calibration.json", "[]");
  expect_goes_on(2);
  const std::string activations = list().at("passes").at(0).at("activations_file");
  ASSERT_NE(activations, "");
  write_text(run_.work() / activations, "");
  expect_goes_on(2);
}

TEST_F(UnfinishedOutput, WhatAKilledProcessHadBegunIsRemoved) {
  write_text(run_.work() / "activations.AbCdEf", "x");
  write_text(run_.work() / "pass-0-activations-00001", "x");
  write_text(run_.work() / "journal.json.part", "x");
  ASSERT_EQ(run_.run_into({.what = "kill", .at = 30}).code, -SIGKILL);
  EXPECT_FALSE(fs::exists(run_.work() / "activations.AbCdEf"));
  EXPECT_FALSE(fs::exists(run_.work() / "pass-0-activations-00001"));
}

// Lists that no run has written are no lists.
TEST_F(UnfinishedOutput, AListThatCannotBeBeginsAnew) {
  const auto changed = [&](const std::string& pointer, const json& value) {
    SCOPED_TRACE(pointer + " = " + value.dump());
    json edited = list();
    edited[json::json_pointer(pointer)] = value;
    write_list(edited);
    expect_goes_on(0);
  };
  write_text(run_.outputs() / "outside", "x");
  const json block = list().at("passes").at(0).at("blocks").at(0);
  changed("/passes", json::array());
  changed("/passes", 3);
  changed("/passes/0/blocks", {{"a", 1}});
  changed("/passes/0/blocks", json(1000, block));
  changed("/passes/0/blocks/0/file", 7);
  changed("/passes/0/blocks/0/file", "../../outside");
  changed("/passes/0/blocks/0/file", "/etc/passwd");
  changed("/passes/0/blocks/0/exact_file", "..");
  changed("/passes/0/blocks/0/exact_storage", {{"nobody", nullptr}});
  changed("/passes/0/blocks/0/notes", {1, 2});
  changed("/passes/0/activations_file", "../../../model/model.safetensors");
  changed("/passes/0/activations_block", 3);
  changed("/passes/0/activations_block", -7);
  changed("/passes/0/shares", {{{"step", "x"}}});
  changed("/passes/0/shares", {{{"step", -1}, {"by_module", json::object()}}});
  changed("/passes/0/shares", {{{"step", 0}, {"by_module", {{"x", 1e300}}}}});
  changed("/embeddings", block);
  changed("/tokens_digest", 1);
  changed("/identity", nullptr);
  write_text(run_.work() / "journal.json", "[]");
  expect_goes_on(0);
  write_text(run_.work() / "journal.json", std::string(100'000, '['));
  expect_goes_on(0);
}

// Files whose digests are right and whose contents no run has written: a digest keeps nobody out.
TEST_F(UnfinishedOutput, FilesThatCannotBeAreRefused) {
  const fs::path part = run_.work() / "pass-0-block-00000.safetensors";
  const auto with_part = [&](const std::string& bytes) {
    write_text(part, bytes);
    json edited = list();
    edited["passes"][0]["blocks"][0]["digest"] = file_digest(part);
    edited["passes"][0]["activations_file"] = "";
    edited["passes"][0]["activations_block"] = -1;
    write_list(edited);
    expect_refused(run_.run(), 3, {});
    interrupt();
  };
  with_part("not safetensors");
  SafetensorsParts parts = read_parts(part);
  parts.header["model.layers.0.mlp.up_proj.weight_scale"]["shape"] = {2, 64};
  write_parts(part, parts);
  with_part(read_text(part));
  parts = read_parts(part);
  parts.header["model.layers.0.nobody.weight"] =
      parts.header["model.layers.0.mlp.up_proj.weight_packed"];
  parts.header.erase("model.layers.0.mlp.up_proj.weight_packed");
  write_parts(part, parts);
  with_part(read_text(part));
  const auto with_tokens = [&](const json& tokens) {
    SCOPED_TRACE(tokens.dump().substr(0, 80));
    write_text(run_.work() / "calibration.json", tokens.dump());
    json edited = list();
    edited["tokens_digest"] = file_digest(run_.work() / "calibration.json");
    write_list(edited);
    expect_refused(run_.run(), 3, {".terse-work"});
    interrupt();
  };
  with_tokens({{"window", 16}, {"source", "x"}, {"windows", {std::vector<int>(16, 67)}}});
  with_tokens({{"window", 16}, {"source", "x"}, {"windows", {std::vector<int>(16, -1)}}});
  with_tokens({{"window", 16}, {"source", "x"}, {"windows", {std::vector<int>(15, 1)}}});
  with_tokens({{"window", 0}, {"source", "x"}, {"windows", json::array()}});
  with_tokens({{"window", 16}, {"source", "x"}, {"windows", {"a"}}});
  with_tokens(json::array());
  json edited = list();
  edited["passes"][0]["blocks"][0]["linears"][0]["storage"] = {{"quantization", 3}};
  write_list(edited);
  expect_refused(run_.run(), 3, {});
}

TEST_F(UnfinishedOutput, OneProcessAtATime) {
  {
    const DirectoryMarker held(run_.part());
    expect_refused_for({"out.part", "another process is writing it"});
    expect_refused(run_.run_with({"--restart"}), 3, {"another process is writing it"});
  }
  expect_goes_on(2);
}

TEST_F(UnfinishedOutput, OfNobodyWeKnowIsRefused) {
  fs::remove(run_.part() / ".terse-part");
  expect_refused_for({"out.part", "is no unfinished output"});
}

}  // namespace
}  // namespace terse::test
