#include "terse/recipe/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/core/free_memory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/methods/learning_rules.h"
#include "terse/model/expanded.h"
#include "terse/model/inventory.h"
#include "terse/model/padded.h"
#include "terse/recipe/block_compressor.h"
#include "terse/recipe/block_reconstructor.h"
#include "terse/recipe/block_walk.h"
#include "terse/recipe/calibration_stream.h"
#include "terse/recipe/embeddings.h"
#include "terse/recipe/importance_scores.h"
#include "terse/recipe/journal.h"
#include "terse/recipe/learned_parts.h"
#include "terse/recipe/learning_pass.h"
#include "terse/recipe/learning_steps.h"
#include "terse/recipe/memory_plan.h"
#include "terse/recipe/overlay.h"
#include "terse/recipe/reshape.h"
#include "terse/recipe/schedule.h"
#include "terse/recipe/shape_steps.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

Model overlay_model(const Checkpoint& base, const Journal& journal) {
  return Model(std::make_shared<const Checkpoint>(overlay_parts(base, journal, PartForm::exact)));
}

void refuse_compressed(const Checkpoint& checkpoint) {
  for (const char* key : {"quantization_config", "terse_config"}) {
    if (!has_key(checkpoint.config(), key)) continue;
    throw bad_input(
        "{}: is already compressed (config.json has a {}); compress the model that it was made "
        "from",
        checkpoint.dir().string(), key);
  }
}

// Calibration need not read every row of them.
void check_embeddings(const Model& model) {
  for (const std::string& module : {model.tied_module(), model.head_module()}) {
    const std::string name = module + ".weight";
    const Checkpoint& checkpoint = model.checkpoint();
    if (!checkpoint.contains(name)) continue;
    finite_tensor(checkpoint, name);
    checkpoint.drop_pages(name);
  }
}

class Run {
 public:
  Run(const fs::path& input, const fs::path& output, const Recipe& recipe,
      const RunSettings& settings, Progress& progress)
      : output_(output),
        recipe_(recipe),
        settings_(settings),
        progress_(progress),
        input_(Checkpoint::open(input)),
        base_(input_),
        learning_(recipe, input_),
        passes_(passes_of(recipe)) {
    refuse_compressed(input_);
    base_ = reshaped(input_, recipe);
  }

  CompressionReport run() {
    count_before(Model(std::make_shared<const Checkpoint>(input_)));
    // What does not fit should be found before any work, also in passes that come late.
    check();
    const RunIdentity identity = identify_run(recipe_, input_);
    if (!settings_.restart && finish_commit(output_, identity.digest())) return finished_report();
    writer_.emplace(output_, CheckpointWriterOptions{
                                 .force = settings_.force, .resume = true, .input = base_.dir()});
    begin(identity);
    Model model(std::make_shared<const Checkpoint>(base_));
    open_journal(identity, model);
    calibrate(model);
    begin_progress(model);
    run_passes();
    progress_.end();
    assemble(identity);
    return finished_report();
  }

 private:
  void check() {
    make_schedules();
    for (const auto& steps : passes_) {
      if (learns(steps) || reconstructs(steps)) training_module();
    }
    const Model& model = *scheduled_;
    check_learning_steps(recipe_, model, schedules_);
    learning_.check_teacher(model);
    if (!recipe_.importance.empty()) importance_.emplace(recipe_.importance, base_);
    for (const Schedule& schedule : schedules_) {
      if (importance_) importance_->check(model, schedule);
    }
    check_embeddings(model);
  }

  void make_schedules() {
    schedules_.clear();
    const Model& model = scheduled_.emplace(std::make_shared<const Checkpoint>(base_));
    for (const auto& steps : passes_) {
      schedules_.emplace_back(model, steps, 0, AllocatedShares(),
                              schedules_.empty() ? nullptr : &schedules_.back());
    }
  }

  void count_before(const Model& model) {
    const Inventory inventory = take_inventory(model);
    report_.parameters = inventory.parameters;
    report_.bytes_before = inventory.bytes;
    report_.bits_per_weight_before = inventory.bits_per_weight();
  }

  void begin(const RunIdentity& identity) {
    StagingDirectory& staging = writer_->staging_directory();
    if (settings_.restart) staging.clear();
    const bool begun = Journal::exists(staging.work()) || ShapeSteps::begun(staging.work());
    continues_ = staging.is_complete() || begun;
    if (continues_) staging.keep();
    if (staging.is_complete() && !begun) {
      throw bad_input(
          "{}: is complete but for its name, and the recipe, model or calibration has changed "
          "since; use --restart to begin again",
          staging.path().string());
    }
    if (!shape_steps_of(recipe_).empty()) reshape(identity);
  }

  // Where the input is at fault the same command would end in the same way: nothing of what this
  // process began is worth keeping.
  template <class Body>
  auto give_up_on_bad_input(const Body& body) {
    try {
      return body();
    } catch (const Error& error) {
      const bool input_at_fault = error.kind() != ErrorKind::failed ||
                                  dynamic_cast<const ActivationsNotFinite*>(&error) != nullptr;
      if (input_at_fault && !continues_) writer_->staging_directory().give_up();
      throw;
    }
  }

  // The model of all other steps, as the text shows it; they are checked again.
  void reshape(const RunIdentity& identity) {
    StagingDirectory& staging = writer_->staging_directory();
    with_filesystem_errors([&] { fs::create_directories(staging.work()); });
    ShapeSteps steps(recipe_, identity,
                     {staging.work(), memory_limit(), settings_.memory > 0,
                      settings_.activation_interval, [&staging] { staging.keep(); }},
                     progress_);
    base_ = give_up_on_bad_input([&] { return steps.run(input_); });
    tokens_ = steps.tokens();
    report_.notes = steps.notes();
    report_.resumed_blocks = steps.resumed_blocks();
    make_schedules();
  }

  std::uint64_t memory_limit() const {
    return settings_.memory > 0 ? settings_.memory : default_memory_limit();
  }

  void open_journal(const RunIdentity& identity, const Model& model) {
    StagingDirectory& staging = writer_->staging_directory();
    journal_.emplace(staging.work(), identity, passes_.size(),
                     static_cast<std::size_t>(model.architecture().num_hidden_layers));
    for (const PassRecord& pass : journal_->passes()) {
      report_.resumed_blocks += static_cast<std::int64_t>(pass.blocks.size());
    }
    // Training leaves copies before any block is done: the list says which run they are of.
    if (std::ranges::any_of(passes_, [](const auto& pass) { return learns(pass); })) {
      journal_->save();
    }
  }

  void calibrate(Model& model) {
    if (!is_calibrated(recipe_)) return;
    if (!journal_->has_tokens() && tokens_) journal_->keep_tokens(*tokens_);
    if (!journal_->has_tokens()) {
      journal_->keep_tokens(calibration_tokens(recipe_.calibration, model, progress_));
      // Text of the model's own takes long to write.
      if (recipe_.calibration.self_generated()) writer_->staging_directory().keep();
    }
    tokens_ = journal_->tokens();
    with_context(journal_->folder().string(), [&] { check_tokens(*tokens_, model); });
    report_.calibration_source = tokens_->source;
    report_.calibration_tokens = tokens_->tokens();
  }

  void begin_progress(const Model& model) {
    const Architecture& a = model.architecture();
    const auto linears_until = [&](std::int64_t end) {
      std::int64_t linears = 0;
      for (std::int64_t block = 0; block < end; ++block) {
        linears += static_cast<std::int64_t>(a.block_linears(block).size());
      }
      return linears;
    };
    std::int64_t linears = 0;
    std::int64_t done = 0;
    for (std::size_t pass = 0; pass < passes_.size(); ++pass) {
      if (learns(passes_[pass])) continue;
      linears += linears_until(a.num_hidden_layers);
      done += linears_until(static_cast<std::int64_t>(journal_->pass(pass).blocks.size()));
    }
    progress_.begin("compressing", linears, "linears");
    progress_.advance(done);
  }

  void run_passes() {
    give_up_on_bad_input([&] {
      cache_teacher();
      for (std::size_t pass = 0; pass < passes_.size(); ++pass) run_pass(pass);
      compress_embeddings();
    });
  }

  void run_pass(std::size_t index) {
    PassRecord& record = journal_->pass(index);
    Model model = pass_model(index);
    const std::int64_t blocks = model.architecture().num_hidden_layers;
    if (static_cast<std::int64_t>(record.blocks.size()) == blocks) return;
    if (learns(passes_[index])) return learn(model, index);
    const std::int64_t tokens = tokens_ ? tokens_->tokens() : 0;
    allocate(model, index, record);
    const Schedule schedule(model, passes_[index], tokens, record.shares,
                            index > 0 ? &schedules_[index - 1] : nullptr);
    for (const std::string& note : schedule.notes()) report_.notes.push_back(note);
    if (settings_.memory > 0) {
      require_fit(
          plan_memory(model, schedule, calibration_size(), recipe_.output, settings_.memory),
          settings_.memory);
    }
    std::optional<CalibrationStream> stream;
    if (tokens_) {
      stream.emplace(model, *tokens_, activation_memory(model, schedule), journal_->folder());
    }
    const auto worker = make_worker(model, index, schedule, stream);
    BlockWalk(base_, *journal_, index, settings_.activation_interval, [this] {
      writer_->staging_directory().keep();
    }).run(model, stream ? &*stream : nullptr, *worker);
  }

  // The model as the pass found it, where a step compares activations with its own.
  std::unique_ptr<ReferenceStream> make_reference(const Model& model, std::size_t index,
                                                  const Schedule& schedule) const {
    if (!schedule.shifts()) return nullptr;
    return std::make_unique<ReferenceStream>(
        pass_model(index), *tokens_, activation_memory(model, schedule), journal_->folder());
  }

  std::unique_ptr<BlockWorker> make_worker(Model& model, std::size_t index,
                                           const Schedule& schedule,
                                           std::optional<CalibrationStream>& stream) {
    if (schedule.reconstruction() == nullptr) {
      return std::make_unique<BlockCompressor>(
          model, schedule, stream ? &*stream : nullptr, recipe_.true_sequential, recipe_.output,
          progress_, importance_ ? &*importance_ : nullptr, make_reference(model, index, schedule));
    }
    return std::make_unique<BlockReconstructor>(
        model, Model(std::make_shared<const Checkpoint>(base_)), schedule, *stream, *tokens_,
        activation_memory(model, schedule), journal_->folder(), recipe_.output, progress_);
  }

  // The teacher's outputs are written before any pass: a file that does not fit is found before
  // any work.
  void cache_teacher() {
    const Model student(std::make_shared<const Checkpoint>(base_));
    const std::optional<std::size_t> taught = unfinished_taught_pass(student);
    if (!learning_.caches_teacher() || !taught) return;
    progress_.end();
    learning_.cache_teacher(student, passes_[*taught].front(), journal_->training_folder(*taught),
                            progress_);
    begin_progress(student);
  }

  std::optional<std::size_t> unfinished_taught_pass(const Model& model) {
    const auto blocks = static_cast<std::size_t>(model.architecture().num_hidden_layers);
    for (std::size_t pass = 0; pass < passes_.size(); ++pass) {
      const RecipeStep& step = passes_[pass].front();
      const MethodInfo& info = MethodRegistry::instance().find(step.method);
      if (!learning_rules(info).from_teacher(options_of(step))) continue;
      if (journal_->pass(pass).blocks.size() < blocks) return pass;
    }
    return std::nullopt;
  }

  // A pass that learns holds the whole model, and its teacher.
  void learn(Model& model, std::size_t index) {
    progress_.end();
    const RecipeStep& step = passes_[index].front();
    const Schedule& schedule = schedules_[index];
    if (settings_.memory > 0) {
      report_.notes.push_back(fmt::format(
          "{} trains with the whole model in memory; --memory does not bound it", step.method));
    }
    model.load_unprepared();
    const LearnedModel learned = learning_.run(
        index, step, schedule, model, journal_->training_folder(index),
        [&] { writer_->staging_directory().keep(); }, progress_);
    keep_learned(learned, model, index);
    begin_progress(model);
  }

  void keep_learned(const LearnedModel& learned, const Model& model, std::size_t index) {
    PassRecord& record = journal_->pass(index);
    record.blocks.clear();
    for (const BlockResult& result : parts_of(learned, model, schedules_[index], recipe_.output)) {
      const std::string name = fmt::format("pass-{}-block-{:05}", index, record.blocks.size());
      record.blocks.push_back(journal_->write_part(name, result));
    }
    if (learned.adapter) {
      record.adapter =
          journal_->write_adapter(fmt::format("pass-{}-adapter", index), *learned.adapter);
    }
    journal_->save();
    writer_->staging_directory().keep();
    with_filesystem_errors([&] { fs::remove_all(journal_->training_folder(index)); });
  }

  // Later passes see what the earlier ones wrote.
  Model pass_model(std::size_t index) const {
    return index == 0 ? Model(std::make_shared<const Checkpoint>(base_))
                      : overlay_model(base_, earlier_passes(index));
  }

  Journal earlier_passes(std::size_t index) const {
    Journal earlier = *journal_;
    earlier.forget_from(index);
    return earlier;
  }

  // Of each stream.
  std::uint64_t activation_memory(const Model& model, const Schedule& schedule) const {
    const std::uint64_t held =
        plan_memory(model, schedule, calibration_size(), recipe_.output, memory_limit()).held;
    return held / static_cast<std::uint64_t>(stream_count(schedule));
  }

  CalibrationSize calibration_size() const {
    return tokens_ ? CalibrationSize{tokens_->tokens(), tokens_->window} : CalibrationSize{};
  }

  // A walk over the model as it is, before anything of the pass is changed.
  void allocate(Model& model, std::size_t index, PassRecord& record) {
    const Schedule& schedule = schedules_[index];
    std::vector<AllocationStep> allocations = schedule.allocations();
    if (record.allocated || allocations.empty()) return;
    StatisticsNeeds needs;
    for (const AllocationStep& step : allocations) {
      needs |= statistics_of(step.allocation->need());
    }
    std::optional<CalibrationStream> stream;
    if (needs.any()) {
      stream.emplace(model, *tokens_, activation_memory(model, schedule), journal_->folder());
      stream->start();
    }
    for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
      model.load_block(block, stream.has_value());
      visit_block(model, schedule, block, needs, stream ? &*stream : nullptr, allocations);
      if (stream) stream->finish(block);
      model.unload_block(block);
      release_free_memory();
    }
    for (const AllocationStep& step : allocations) {
      record.shares[step.step] = step.allocation->shares();
    }
    record.allocated = true;
    journal_->save();
    writer_->staging_directory().keep();
  }

  // Stage by stage: statistics take no more than they do where the pass compresses.
  void visit_block(Model& model, const Schedule& schedule, std::int64_t block,
                   const StatisticsNeeds& needs, CalibrationStream* stream,
                   std::vector<AllocationStep>& allocations) const {
    const Architecture& a = model.architecture();
    for (const Stage stage : kStages) {
      std::map<StageInput, InputStatistics> inputs;
      if (stream != nullptr && !a.inputs(block, stage).empty()) {
        for (const StageInput& input : a.inputs(block, stage)) {
          inputs.emplace(input, InputStatistics(a.in_features(block, stage), needs));
        }
        stream->visit(block, stage,
                      [&](const StageInput& of, ConstMatrixRef x) { inputs.at(of).add(x); });
        for (auto& [input, known] : inputs) {
          if (known.tokens() == 0) add_unit_inputs(known);
        }
      }
      for (const LinearKey& key : a.block_linears(block, stage)) {
        for (AllocationStep& step : allocations) {
          if (!schedule.chosen(step.step, block, key)) continue;
          show(*step.allocation, block, model.block(block).linears.at(key),
               stream != nullptr ? &inputs.at(key.input()) : nullptr);
        }
      }
    }
  }

  void show(Allocation& allocation, std::int64_t block, const Linear& linear,
            const InputStatistics* inputs) const {
    LinearProblem problem{linear.module, linear.weight->dense(), inputs};
    if (const auto score = allocation.importance()) {
      problem.importance = importance_->read(linear.module, *score);
    }
    allocation.visit(block, problem);
  }

  // As the passes left them: steps that learn change them.
  void compress_embeddings() {
    if (recipe_.output.embeddings_bits == 0 || journal_->embeddings()) return;
    const Model model = overlay_model(base_, *journal_);
    const BlockResult result = terse::compress_embeddings(model, recipe_);
    journal_->keep_embeddings(journal_->write_part("embeddings", result));
    journal_->save();
  }

  // The output proper: parts and everything that no step changed, in shards.
  void assemble(const RunIdentity& identity) {
    writer_->staging_directory().clear_output();
    const Checkpoint overlay = overlay_parts(base_, *journal_, PartForm::written);
    if (report_.resumed_blocks > 0) check_parts(overlay);
    const Checkpoint output = plain_form(overlay);
    write_tensors(output, overlay_order(output, *journal_), *writer_);
    copy_side_files(base_.dir(), writer_->staging());
    for (const PassRecord& pass : journal_->passes()) {
      if (pass.adapter) copy_adapter(*pass.adapter, *journal_, writer_->staging() / "adapter");
    }
    collect_reports();
    writer_->finish(output.config(), identity.digest());
  }

  // For programs that know no shared weights, or no blocks of different shapes.
  Checkpoint plain_form(Checkpoint output) const {
    const auto model = [&] { return Model(std::make_shared<const Checkpoint>(output)); };
    if (recipe_.output.expand) output = expanded(model(), journal_->folder());
    if (recipe_.output.pad) output = padded(model());
    return output;
  }

  // Parts are what their digests say; whether they are what was written, only their tensors tell.
  void check_parts(const Checkpoint& overlay) const {
    with_context(journal_->folder().string(), [&] {
      Model model(std::make_shared<const Checkpoint>(overlay));
      for (std::int64_t block = 0; block < model.architecture().num_hidden_layers; ++block) {
        model.load_block(block, false);
        model.unload_block(block);
      }
    });
  }

  void collect_reports() {
    const auto collect = [&](const PartRecord& part) {
      report_.linears.insert(report_.linears.end(), part.linears.begin(), part.linears.end());
      report_.notes.insert(report_.notes.end(), part.notes.begin(), part.notes.end());
    };
    for (const PassRecord& pass : journal_->passes()) {
      for (const PartRecord& part : pass.blocks) collect(part);
    }
    if (journal_->embeddings()) collect(*journal_->embeddings());
  }

  CompressionReport finished_report() {
    const Model model = Model::open(output_);
    const Inventory inventory = take_inventory(model);
    report_.bytes_after = inventory.bytes;
    report_.bits_per_weight = inventory.bits_per_weight();
    report_.linear_bits_per_weight = linear_bits_per_weight(model.checkpoint());
    return std::move(report_);
  }

  double linear_bits_per_weight(const Checkpoint& checkpoint) const {
    std::set<std::string> modules;
    for (const LinearReport& linear : report_.linears) modules.insert(linear.module);
    double bits = 0;
    double parameters = 0;
    for (const std::string& module : modules) {
      const std::string bias = module + ".bias";
      for (const std::string& name : base_.names_of(module)) {
        if (name == bias) continue;
        parameters += static_cast<double>(element_count(base_.shape(name)));
      }
      for (const std::string& name : checkpoint.names_of(module)) {
        if (name == bias) continue;
        bits += 8.0 * static_cast<double>(stored_bytes(checkpoint, name));
      }
    }
    return parameters > 0 ? bits / parameters : 0.0;
  }

  const fs::path& output_;
  const Recipe& recipe_;
  const RunSettings& settings_;
  Progress& progress_;
  Checkpoint input_;
  Checkpoint base_;  // reshaped
  LearningPasses learning_;
  std::vector<std::vector<RecipeStep>> passes_;
  std::optional<Model> scheduled_;   // the schedules refer to it
  std::vector<Schedule> schedules_;  // of the passes, before anything is allocated
  std::optional<ImportanceScores> importance_;
  std::optional<CheckpointWriter> writer_;
  std::optional<Journal> journal_;
  std::optional<CalibrationTokens> tokens_;
  bool continues_ = false;  // what an earlier process began
  CompressionReport report_;
};

}  // namespace

Recipe one_step_recipe(const std::string& method,
                       const std::map<std::string, std::string>& options) {
  Recipe recipe;
  RecipeStep& step = recipe.steps.emplace_back();
  step.method = method;
  for (const auto& [name, value] : options) step.options[name].value = value;
  return recipe;
}

CompressionReport compress(const fs::path& input, const fs::path& output, const Recipe& recipe,
                           const RunSettings& settings, Progress& progress) {
  return Run(input, output, recipe, settings, progress).run();
}

}  // namespace terse
