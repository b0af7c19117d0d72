#include "terse/recipe/shape_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/free_memory.h"
#include "terse/eval/perplexity.h"
#include "terse/methods/shape/ratio_of.h"
#include "terse/methods/shape_method.h"
#include "terse/model/added_biases.h"
#include "terse/model/inventory.h"
#include "terse/model/narrowed.h"
#include "terse/recipe/block_rewriter.h"
#include "terse/recipe/block_slicer.h"
#include "terse/recipe/block_walk.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/journaled_evaluator.h"
#include "terse/recipe/memory_plan.h"
#include "terse/recipe/overlay.h"
#include "terse/recipe/ratio_target.h"
#include "terse/recipe/sliced_ends.h"
#include "terse/recipe/stream_compensator.h"
#include "terse/recipe/unit_compensator.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBiases = "biases.safetensors";
constexpr const char* kEmbedding = "embedding.safetensors";
constexpr const char* kHead = "head.safetensors";

const MethodInfo& info_of(const RecipeStep& step) {
  return MethodRegistry::instance().find(step.method);
}

std::unique_ptr<ShapeMethod> method_of(const RecipeStep& step) {
  return make_shape_method(info_of(step), MethodOptions(info_of(step), plain_options(step)));
}

Windows windows_of(const CalibrationTokens& tokens) {
  std::vector<std::int32_t> ids;
  for (const auto& window : tokens.windows) ids.insert(ids.end(), window.begin(), window.end());
  return cut_windows(std::move(ids), tokens.window);
}

// Shows a method one block after another.
void show_blocks(Model& model, ShapeMethod& method, CalibrationStream* stream, std::int64_t window,
                 Progress& progress) {
  const ShapeNeeds needs = method.needs();
  for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
    model.load_block(block, stream != nullptr);
    std::map<StageInput, InputStatistics> inputs;
    if (needs.inputs.any()) {
      inputs = stream->statistics(block, [&](const StageInput&) { return needs.inputs; });
    }
    if (needs.weights) {
      method.look_at(BlockView{block, model.architecture(), model.block(block), inputs});
    }
    if (stream != nullptr) {
      stream->finish(block, [&](const Matrix& before, const Matrix& after) {
        if (needs.flow) method.look_at(BlockFlow{block, before, after, window});
      });
    }
    model.unload_block(block);
    release_free_memory();
    progress.advance(1);
  }
}

}  // namespace

std::vector<RecipeStep> shape_steps_of(const Recipe& recipe) {
  std::vector<RecipeStep> steps;
  std::ranges::copy_if(recipe.steps, std::back_inserter(steps),
                       [](const RecipeStep& step) { return reshapes(info_of(step)); });
  return steps;
}

bool shape_is_calibrated(const RecipeStep& step) {
  return is_calibrated(*method_of(step));
}

ShapeSteps::ShapeSteps(const Recipe& recipe, const RunIdentity& identity, Settings settings,
                       Progress& progress)
    : recipe_(recipe), identity_(identity), settings_(std::move(settings)), progress_(progress) {}

bool ShapeSteps::begun(const fs::path& work) {
  return Journal::exists(shape_folder(work, 0));
}

Checkpoint ShapeSteps::run(const Checkpoint& input) {
  const std::vector<RecipeStep> steps = shape_steps_of(recipe_);
  Checkpoint result = input;
  for (std::size_t i = 0; i < steps.size(); ++i) result = apply(result, steps[i], i);
  return result;
}

Checkpoint ShapeSteps::apply(const Checkpoint& base, const RecipeStep& step, std::size_t index) {
  const Model model(std::make_shared<const Checkpoint>(base));
  Journal journal(shape_folder(settings_.work, index), identity_, 1,
                  static_cast<std::size_t>(model.architecture().num_hidden_layers));
  resumed_blocks_ += static_cast<std::int64_t>(journal.pass(0).blocks.size());
  const RecipeStep own = own_ratio(base, step, journal);
  const auto method = method_of(own);
  if (settings_.limited) {
    const auto size = is_calibrated(*method)
                          ? expected_calibration(recipe_.calibration, model.architecture())
                          : CalibrationSize{};
    require_fit(plan_shape_memory(model, *method, size, settings_.memory), settings_.memory);
  }
  if (is_calibrated(*method) && !tokens_) calibrate(base, journal);
  if (!journal.pass(0).kept) {
    journal.pass(0).kept = choose(base, own, journal);
    journal.pass(0).losses.clear();
    journal.save();
    settings_.on_part();
  }
  const std::vector<KeptBlock> kept = *journal.pass(0).kept;
  Checkpoint whole = base;
  const auto width = method->residual_width(model.architecture());
  if (width) {
    whole = slice(base, *method, *width, journal);
  } else if (method->rewriting()) {
    whole = rewrite(base, *method, journal);
  } else if (kept.front().hidden && method->resolves()) {
    whole = compensate_stream(base, *method, *kept.front().hidden, journal);
  } else if (method->compensation() != Compensation::none) {
    whole = compensate(base, *method, kept, journal);
  }
  Checkpoint smaller = keep_units(Model(std::make_shared<const Checkpoint>(whole)), kept);
  const Inventory before = take_inventory(model);
  const Inventory after = take_inventory(Model(std::make_shared<const Checkpoint>(smaller)));
  notes_.push_back(fmt::format("{}: {} of {} parameters stay", step.method, after.parameters,
                               before.parameters));
  return smaller;
}

// Measured time differs from one process to the next: what was found once is kept.
RecipeStep ShapeSteps::own_ratio(const Checkpoint& base, const RecipeStep& step, Journal& journal) {
  if (!targets_cost(step)) return step;
  std::optional<double>& ratio = journal.pass(0).ratio;
  if (!ratio) {
    ratio = options_of(with_own_ratio(base, step)).number("ratio");
    journal.save();
  }
  RecipeStep own = with_ratio(step, *ratio);
  notes_.push_back(fmt::format("{}: a ratio of {:g} of the {} is one of {:g} of the {}",
                               step.method, options_of(step).number("ratio"),
                               options_of(step).text(kRatioOf), *ratio,
                               options_of(own).text(kRatioOf)));
  return own;
}

// Steps that come later use the same tokens.
void ShapeSteps::calibrate(const Checkpoint& input, Journal& journal) {
  Model model(std::make_shared<const Checkpoint>(input));
  if (!journal.has_tokens()) {
    journal.keep_tokens(calibration_tokens(recipe_.calibration, model, progress_));
    if (recipe_.calibration.self_generated()) settings_.on_part();
  }
  tokens_ = journal.tokens();
  with_context(journal.folder().string(), [&] { check_tokens(*tokens_, model); });
}

std::uint64_t ShapeSteps::stream_memory(const Model& model, const ShapeMethod& method) const {
  const std::uint64_t held =
      plan_shape_memory(model, method, calibration_size(), settings_.memory).held;
  return held / static_cast<std::uint64_t>(stream_count(method));
}

CalibrationSize ShapeSteps::calibration_size() const {
  return tokens_ ? CalibrationSize{tokens_->tokens(), tokens_->window} : CalibrationSize{};
}

std::vector<KeptBlock> ShapeSteps::choose_by_trial(Model& model, const ShapeMethod& method,
                                                   std::string_view name, Journal& journal) {
  model.load_all();
  PerplexityEvaluator perplexity(windows_of(*tokens_));
  JournaledEvaluator evaluator(perplexity, journal, settings_.on_part, progress_);
  progress_.begin(fmt::format("{}: trying", name), method.most_evaluations(model.architecture()),
                  "models");
  std::vector<KeptBlock> kept = method.kept(model, evaluator);
  progress_.end();
  return kept;
}

std::vector<KeptBlock> ShapeSteps::choose(const Checkpoint& base, const RecipeStep& step,
                                          Journal& journal) {
  Model model(std::make_shared<const Checkpoint>(base));
  const auto method = method_of(step);
  const ShapeNeeds needs = method->needs();
  if (needs.evaluator) return choose_by_trial(model, *method, step.method, journal);
  if (needs.weights || needs.inputs.any() || needs.flow) {
    progress_.begin(fmt::format("{}: looking", step.method), model.architecture().num_hidden_layers,
                    "blocks");
    std::optional<CalibrationStream> stream;
    if (needs.calibrated()) {
      stream.emplace(model, *tokens_, stream_memory(model, *method), journal.folder());
      stream->start();
    }
    show_blocks(model, *method, stream ? &*stream : nullptr, tokens_ ? tokens_->window : 0,
                progress_);
    progress_.end();
  }
  return method->kept(model.architecture());
}

Checkpoint ShapeSteps::compensate(const Checkpoint& base, const ShapeMethod& method,
                                  const std::vector<KeptBlock>& kept, Journal& journal) {
  const Compensation compensation = method.compensation();
  Checkpoint widened = base;
  if (adds_bias(compensation)) {
    const Model plain(std::make_shared<const Checkpoint>(base));
    const AddedBiases added = add_biases(plain, cut_readers(plain.architecture(), kept));
    if (!added.tensors.empty()) {
      // The same bytes whenever it is written: it need not be listed.
      write_safetensors(journal.path(kBiases), added.tensors);
      widened = base.overlaid({journal.path(kBiases)}, {}, added.config);
    }
  }
  Model model(std::make_shared<const Checkpoint>(widened));
  CalibrationStream stream(model, *tokens_, stream_memory(model, method), journal.folder());
  UnitCompensator worker(model, kept, compensation, stream, progress_);
  return walk(widened, model, &stream, worker, journal);
}

Checkpoint ShapeSteps::compensate_stream(const Checkpoint& base, const ShapeMethod& method,
                                         const std::vector<std::int64_t>& kept, Journal& journal) {
  const Model whole(std::make_shared<const Checkpoint>(base));
  const Checkpoint less = with_kept_channels(whole, kept, journal.path(kEmbedding));
  Model model(std::make_shared<const Checkpoint>(less));
  const std::uint64_t memory = stream_memory(model, method);
  CalibrationStream stream(model, *tokens_, memory, journal.folder());
  ReferenceStream reference(whole, *tokens_, memory, journal.folder());
  StreamCompensator worker(model, kept, stream, reference, progress_);
  return walk(less, model, &stream, worker, journal);
}

Checkpoint ShapeSteps::rewrite(const Checkpoint& base, const ShapeMethod& method,
                               Journal& journal) {
  Model model(std::make_shared<const Checkpoint>(base));
  std::optional<CalibrationStream> stream;
  if (is_calibrated(method)) {
    stream.emplace(model, *tokens_, stream_memory(model, method), journal.folder());
  }
  std::optional<ReferenceStream> reference;
  if (method.resolves()) {
    reference.emplace(Model(std::make_shared<const Checkpoint>(base)), *tokens_,
                      stream_memory(model, method), journal.folder());
  }
  BlockRewriter worker(model, method, stream ? &*stream : nullptr,
                       reference ? &*reference : nullptr, progress_);
  return walk(base, model, stream ? &*stream : nullptr, worker, journal);
}

// First as wide as it was, with zeros in the place of what goes: a killed run finds in the journal
// blocks of one shape.
Checkpoint ShapeSteps::slice(const Checkpoint& base, const ShapeMethod& method, std::int64_t width,
                             Journal& journal) {
  const Checkpoint straight =
      with_shortcuts(Model(std::make_shared<const Checkpoint>(base)), journal.folder());
  const Model unturned(std::make_shared<const Checkpoint>(straight));
  const auto directions = [&](const SecondMoments& normed) { return method.directions(normed); };
  const Matrix first = sliced(directions(embedding_moments(unturned, method, journal)), width);
  const Checkpoint turned = with_turned_embedding(unturned, first, journal.path(kEmbedding));
  const auto rotation = [&](std::int64_t block) {
    return block < 0 ? first
                     : overlay_parts(turned, journal, PartForm::exact)
                           .tensor(rotation_name(block))
                           .to_matrix();
  };
  Model model(std::make_shared<const Checkpoint>(turned));
  CalibrationStream stream(model, *tokens_, stream_memory(model, method), journal.folder());
  BlockSlicer worker(model, width, directions, first, rotation, stream, progress_);
  const Checkpoint blocks = walk(turned, model, &stream, worker, journal);
  const Model wide(std::make_shared<const Checkpoint>(blocks));
  const Checkpoint whole =
      with_turned_head(wide, rotation(wide.architecture().num_hidden_layers - 1),
                       norm_scale(wide.architecture(), width), journal.path(kHead));
  return narrowed(Model(std::make_shared<const Checkpoint>(whole)), width, journal.folder());
}

SecondMoments ShapeSteps::embedding_moments(const Model& model, const ShapeMethod& method,
                                            const Journal& journal) const {
  CalibrationStream stream(model, *tokens_, stream_memory(model, method), journal.folder());
  stream.start();
  SecondMoments moments(model.architecture().hidden_size);
  const bool centres = family_subtracts_means(model.checkpoint().config());
  for (std::int64_t window = 0; window < stream.windows(); ++window) {
    const Matrix rows = stream.block_input(window);
    moments.add(normed_rows(centres ? centred_rows(rows) : rows));
  }
  return moments;
}

Checkpoint ShapeSteps::walk(const Checkpoint& base, Model& model, CalibrationStream* stream,
                            BlockWorker& worker, Journal& journal) {
  const std::int64_t blocks = model.architecture().num_hidden_layers;
  const auto done = static_cast<std::int64_t>(journal.pass(0).blocks.size());
  if (done < blocks) {
    progress_.begin("rewriting", blocks, "blocks");
    progress_.advance(done);
    BlockWalk(base, journal, 0, settings_.activation_interval, settings_.on_part)
        .run(model, stream, worker);
    progress_.end();
  }
  return overlay_parts(base, journal, PartForm::exact);
}

}  // namespace terse
