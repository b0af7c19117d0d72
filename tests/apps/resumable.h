// A small model and commands that compress it, to be interrupted and given again.
#pragma once

#include <filesystem>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "apps/program.h"
#include "support/temporary_directory.h"

namespace terse::test {

// What goes wrong in a run, by the words of support/fault_injection.
struct Fault {
  std::string what;
  std::size_t at = 0;  // which call
  int error = 0;
  int delay = 2;
};

// One call of a run that changes a file.
struct FileCall {
  std::string name;
  std::string path;
};

struct Resumable {
  std::string name;
  std::string recipe = {};                  // its steps and output, as YAML
  std::vector<std::string> arguments = {};  // of `terse compress`, beside model, output and recipe
  bool spill = false;                       // memory for one of two groups of windows
  bool replaces = false;                    // an older output is there, and --force
  bool exchanges = true;                    // the file system can exchange names
  bool self_generated = false;              // no calibration file
  bool learns = false;                      // steps of the recipe learn
  bool trains = false;                      // `terse train` instead of a recipe
  bool experts = false;                     // the model has them
  bool caches_teacher = false;              // what the teacher predicts goes to a file
  std::size_t places = 25;                  // moments to be interrupted at, spread over the run
};

inline void PrintTo(const Resumable& settings, std::ostream* out) {
  *out << settings.name;
}

// A directory with a model, and beside it one for outputs.
class ResumableRun {
 public:
  explicit ResumableRun(Resumable settings);

  // Runs the command to its end, with more arguments, or into a fault.
  ProgramResult run();
  ProgramResult run_with(const std::vector<std::string>& more);
  ProgramResult run_into(const Fault& fault, const std::vector<std::string>& more = {});

  // The calls of a run that nothing disturbs.
  std::vector<FileCall> calls();

  // Removes every output and puts the older one in place, if there is to be one.
  void reset() const;

  // Every file of the output by its path, without our marker.
  std::map<std::string, std::string> output() const;
  std::map<std::string, std::string> older_output() const;

  std::filesystem::path model() const { return directory_ / "model"; }
  std::filesystem::path ids() const { return directory_ / "ids.json"; }
  std::filesystem::path recipe() const { return directory_ / "recipe.yaml"; }
  std::filesystem::path outputs() const { return directory_ / "outputs"; }
  std::filesystem::path out() const { return outputs() / "out"; }
  std::filesystem::path teacher_outputs() const { return outputs() / "teacher.safetensors"; }
  std::filesystem::path part() const { return outputs() / "out.part"; }
  std::filesystem::path work() const { return part() / ".terse-work"; }

  // Blocks of the model.
  static constexpr int kBlocks = 3;

 private:
  ProgramResult start(std::map<std::string, std::string> environment,
                      const std::vector<std::string>& more);
  std::string small_memory() const;

  Resumable settings_;
  TemporaryDirectory directory_;
};

// `count` of `size` places, evenly spread, the first and the last among them.
std::vector<std::size_t> spread(std::size_t size, std::size_t count);

}  // namespace terse::test
