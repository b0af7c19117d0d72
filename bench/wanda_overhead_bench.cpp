// Times Wanda on all blocks of a model against the bare forward pass of the same tokens.
//
//   wanda_overhead_bench MODEL WINDOWS WINDOW REPEATS
//
// MODEL is a checkpoint; the tokens are random. Walks all blocks REPEATS times in each of three
// ways, in alternation, and prints the seconds of the three on one line:
//   forward   all calibration tokens through every block, nothing else
//   method    stage by stage, with norms of the inputs; Wanda on every linear; the pruned weights
//             take their places and later stages run with them
//   program   what `terse compress` does of it: `method`, with the report and the stored layout
// Reading the blocks and writing files is left out of all three.
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/random.h"
#include "terse/core/threads.h"
#include "terse/methods/method.h"
#include "terse/model/weights/dense.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/compress.h"

namespace {

using Clock = std::chrono::steady_clock;

terse::CalibrationTokens random_tokens(const terse::Model& model, std::int64_t windows,
                                       std::int64_t window) {
  terse::CalibrationTokens tokens{window, {}, "random"};
  terse::Random random(1);
  const auto vocabulary = static_cast<std::uint64_t>(model.architecture().vocab_size);
  for (std::int64_t w = 0; w < windows; ++w) {
    auto& ids = tokens.windows.emplace_back(static_cast<std::size_t>(window));
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.next() % vocabulary);
  }
  return tokens;
}

// Seconds of `work(block)` on all blocks, each loaded anew.
template <class Work>
double walk(terse::Model& model, terse::CalibrationStream& stream, const Work& work) {
  stream.start();
  std::chrono::duration<double> seconds{0};
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    model.load_block(block);
    const auto start = Clock::now();
    work(block);
    stream.finish(block);
    seconds += Clock::now() - start;
    model.unload_block(block);
  }
  return seconds.count();
}

void prune_stage(terse::Model& model, terse::CalibrationStream& stream, std::int64_t block,
                 terse::Stage stage, const terse::LinearMethod& method) {
  const terse::Architecture& a = model.architecture();
  const auto roles = a.roles(0, stage);
  terse::InputStatistics inputs(a.in_features(0, roles.front()), {.norms = true});
  stream.visit(block, stage,
               [&](const terse::StageInput&, terse::ConstMatrixRef x) { inputs.add(x); });
  for (const terse::LinearRole role : roles) {
    terse::Linear& linear = model.block(block).linears.at(role);
    terse::LinearResult result =
        method.compress({linear.module, linear.weight->dense(), &inputs, false, role});
    linear.weight = std::make_shared<terse::DenseWeight>(std::move(std::get<terse::Matrix>(result)),
                                                         model.dtype());
    linear.weight->prepare();
  }
}

int run(const std::vector<std::string>& arguments) {
  terse::Model model = terse::Model::open(arguments.at(0));
  const terse::CalibrationTokens tokens =
      random_tokens(model, std::stoll(arguments.at(1)), std::stoll(arguments.at(2)));
  terse::CalibrationStream stream(model, tokens);
  const terse::Recipe recipe = terse::one_step_recipe("wanda", {{"sparsity", "0.5"}});
  const terse::MethodOptions options(terse::MethodRegistry::instance().find("wanda"),
                                     {{"sparsity", "0.5"}});
  const auto method = terse::make_linear_method("wanda", options, {});
  const terse::Schedule schedule(model, recipe.steps, tokens.tokens());
  terse::Progress progress;
  terse::BlockCompressor compressor(model, schedule, &stream, true, recipe.output, progress);
  for (int repeat = 0; repeat < std::stoi(arguments.at(3)); ++repeat) {
    const double forward = walk(model, stream, [](std::int64_t) {});
    const double pruning = walk(model, stream, [&](std::int64_t block) {
      for (const terse::Stage stage : terse::kStages) {
        prune_stage(model, stream, block, stage, *method);
      }
    });
    const double program =
        walk(model, stream, [&](std::int64_t block) { compressor.compress(block); });
    std::cout << forward << ' ' << pruning << ' ' << program << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    terse::check_blas();
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
