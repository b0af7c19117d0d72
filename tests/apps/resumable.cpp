#include "apps/resumable.h"

#include <algorithm>
#include <sstream>

#include "apps/files.h"
#include "apps/tiny_model.h"
#include "terse/core/threads.h"
#include "terse/recipe/memory_plan.h"
#include "terse/recipe/recipe_text.h"

namespace terse::test {
namespace {

namespace fs = std::filesystem;

constexpr int kWindow = 16;
constexpr int kSamples = 140;  // two groups: one has 128 windows of 16

nlohmann::json small_config(bool experts) {
  nlohmann::json config = tiny_config();
  config["hidden_size"] = 32;
  config["intermediate_size"] = 64;
  config["num_hidden_layers"] = ResumableRun::kBlocks;
  config["head_dim"] = 8;
  config["max_position_embeddings"] = 32;
  if (experts) {
    config.update({{"model_type", "mixtral"},
                   {"intermediate_size", 32},
                   {"num_local_experts", 3},
                   {"num_experts_per_tok", 2}});
  }
  return config;
}

std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  if (!fs::exists(directory)) return files;
  for (const std::string& name : tree(directory)) {
    if (fs::is_regular_file(directory / name) && name != ".terse-part") {
      files[name] = read_text(directory / name);
    }
  }
  return files;
}

}  // namespace

ResumableRun::ResumableRun(Resumable settings) : settings_(std::move(settings)) {
  write_tiny_model(model(), small_config(settings_.experts));
  nlohmann::json token_ids;
  for (int i = 0; i < kWindow * kSamples; ++i) token_ids.push_back((i * i + 5 * i) % 67);
  write_text(ids(), token_ids.dump());
  std::ostringstream text;
  text << "calibration:\n";
  if (!settings_.self_generated) text << "  tokens: " << ids().string() << "\n";
  text << "  samples: " << (settings_.self_generated ? 8 : kSamples) << "\n"
       << "  window: " << kWindow << "\n";
  if (settings_.learns) {
    text << "training:\n  tokens: " << ids().string() << "\n  window: " << kWindow << "\n";
  }
  if (settings_.caches_teacher) {
    text << "  teacher_outputs: " << teacher_outputs().string() << "\n";
  }
  text << settings_.recipe;
  write_text(recipe(), text.str());
  fs::create_directories(directory_ / "older");
  write_text(directory_ / "older" / "model.safetensors", "precious");
  write_text(directory_ / "older" / "config.json", "{}");
  reset();
}

void ResumableRun::reset() const {
  fs::remove_all(outputs());
  fs::create_directory(outputs());
  if (settings_.replaces) fs::copy(directory_ / "older", out());
}

std::map<std::string, std::string> ResumableRun::output() const {
  return files_of(out());
}

std::map<std::string, std::string> ResumableRun::older_output() const {
  return files_of(directory_ / "older");
}

// What the first pass needs, and one group of windows.
std::string ResumableRun::small_memory() const {
  const int threads = thread_count();
  set_thread_count(1);
  const Model small = Model::open(model());
  const Recipe parsed = load_recipe(recipe());
  const CalibrationSize size{kWindow * kSamples, kWindow};
  const Schedule schedule(small, passes_of(parsed).front(), size.tokens);
  const MemoryPlan plan = plan_memory(small, schedule, size, parsed.output, ~std::uint64_t{0});
  set_thread_count(threads);
  return std::to_string(plan.without_activations() + plan.activations / 2);
}

ProgramResult ResumableRun::start(std::map<std::string, std::string> environment,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"--threads", "1",  settings_.trains ? "train" : "compress",
                                     model(),     "-o", out()};
  if (settings_.trains) {
    arguments.insert(arguments.end(), {"--tokens", ids(), "--window", std::to_string(kWindow)});
  } else {
    arguments.insert(arguments.end(), {"--recipe", recipe()});
  }
  arguments.insert(arguments.end(), settings_.arguments.begin(), settings_.arguments.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  if (settings_.spill) arguments.insert(arguments.end(), {"--memory", small_memory()});
  if (settings_.replaces) arguments.emplace_back("--force");
#ifdef TERSE_FAULT_INJECTION
  environment["LD_PRELOAD"] = TERSE_FAULT_INJECTION;
#endif
  environment["TERSE_FAULT_UNDER"] = fs::canonical(outputs());
  if (!settings_.exchanges) environment["TERSE_FAULT_NO_EXCHANGE"] = "1";
  ProgramSetting setting;
  setting.environment = std::move(environment);
  return run_terse(arguments, setting);
}

ProgramResult ResumableRun::run() {
  return start({}, {});
}

ProgramResult ResumableRun::run_with(const std::vector<std::string>& more) {
  return start({}, more);
}

ProgramResult ResumableRun::run_into(const Fault& fault, const std::vector<std::string>& more) {
  return start({{"TERSE_FAULT", fault.what},
                {"TERSE_FAULT_AT", std::to_string(fault.at)},
                {"TERSE_FAULT_ERROR", std::to_string(fault.error)},
                {"TERSE_FAULT_DELAY", std::to_string(fault.delay)}},
               more);
}

std::vector<FileCall> ResumableRun::calls() {
  const fs::path log = directory_ / "log";
  fs::remove(log);
  const ProgramResult result = start({{"TERSE_FAULT_LOG", log}}, {});
  EXPECT_EQ(result.code, 0) << result.err;
  std::vector<FileCall> calls;
  std::istringstream lines(read_text(log));
  for (FileCall call; lines >> call.name && std::getline(lines, call.path);) {
    calls.push_back({call.name, call.path.substr(1)});
  }
  return calls;
}

std::vector<std::size_t> spread(std::size_t size, std::size_t count) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < count; ++i) places.push_back(i * (size - 1) / (count - 1));
  return places;
}

}  // namespace terse::test
