#include "terse/recipe/compress.h"

#include <algorithm>
#include <memory>
#include <set>

#include "terse/core/error.h"
#include "terse/core/free_memory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/formats/compressed_tensors.h"
#include "terse/formats/module_target.h"
#include "terse/methods/method.h"
#include "terse/methods/output_error.h"
#include "terse/model/inventory.h"
#include "terse/model/weights/dense.h"
#include "terse/model/weights/group_quantized.h"
#include "terse/recipe/calibration_stream.h"

namespace terse {
namespace {

// Which linears of a model are to be compressed.
class Selection {
 public:
  Selection(const Model& model, const std::vector<std::string>& ignore) {
    std::vector<bool> used(ignore.size());
    const Architecture& a = model.architecture();
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const auto& entry : a.linears)
        decide(model.linear_module(block, entry.first), ignore, used);
    }
    for (std::size_t i = 0; i < ignore.size(); ++i) {
      if (!used[i]) throw bad_usage("--ignore '{}' matches no linear of the model", ignore[i]);
    }
  }

  bool chosen(const std::string& module) const { return !ignored_.contains(module); }
  const std::set<std::string>& ignored() const { return ignored_; }

 private:
  // The expression may match anywhere in the name.
  static bool matches(const std::string& expression, const std::string& module) {
    try {
      return target_matches_name("re:.*(?:" + expression + ")", module);
    } catch (const Error& error) {
      throw bad_usage("--ignore '{}': {}", expression, error.what());
    }
  }

  void decide(const std::string& module, const std::vector<std::string>& ignore,
              std::vector<bool>& used) {
    for (std::size_t i = 0; i < ignore.size(); ++i) {
      if (!matches(ignore[i], module)) continue;
      used[i] = true;
      ignored_.insert(module);
    }
  }

  std::set<std::string> ignored_;
};

double relative_weight_error(const Matrix& weight, const Matrix& compressed) {
  const double norm = weight.cast<double>().squaredNorm();
  return norm > 0 ? (weight - compressed).cast<double>().squaredNorm() / norm : 0.0;
}

// Widest group for an embedding: the largest divisor of its width up to 128.
std::int64_t embedding_group(std::int64_t width) {
  std::int64_t group = std::min<std::int64_t>(width, 128);
  while (width % group != 0) --group;
  return group;
}

class Compressor {
 public:
  Compressor(const std::filesystem::path& input, const std::filesystem::path& output,
             const CompressionSettings& settings, Progress& progress)
      : output_(output),
        settings_(settings),
        progress_(progress),
        info_(MethodRegistry::instance().find(settings.method)),
        model_(Model::open(input)),
        selection_(model_, settings.ignore),
        method_(make_linear_method(settings.method, MethodOptions(info_, settings.options),
                                   {model_.dtype()})),
        writer_(output, {.force = settings.force, .input = input}) {
    if (has_key(model_.checkpoint().config(), "quantization_config")) {
      throw bad_input(
          "{}: is already compressed (config.json has a quantization_config); compress the model "
          "that it was made from",
          input.string());
    }
  }

  CompressionReport run() {
    check_shapes();
    count_before();
    check_embeddings();
    start_calibration();
    const std::int64_t blocks = model_.architecture().num_hidden_layers;
    progress_.begin("compressing",
                    blocks * static_cast<std::int64_t>(model_.architecture().linears.size()),
                    "linears");
    for (std::int64_t block = 0; block < blocks; ++block) compress_block(block);
    compress_embeddings();
    progress_.end();
    copy_remaining();
    finish();
    return std::move(report_);
  }

 private:
  using Statistics = std::map<Stage, InputStatistics>;

  bool calibrated() const {
    return info_.need != MethodNeed::nothing || !settings_.calibration.self_generated();
  }

  // Before any work: what does not fit should not be found out hours later.
  void check_shapes() const {
    const Architecture& a = model_.architecture();
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const auto& entry : a.linears) {
        const std::string module = model_.linear_module(block, entry.first);
        if (selection_.chosen(module)) {
          method_->check(module, a.out_features(entry.first), a.in_features(entry.first));
        }
      }
    }
  }

  void count_before() {
    const Inventory inventory = take_inventory(model_);
    report_.parameters = inventory.parameters;
    report_.bytes_before = inventory.bytes;
    report_.bits_per_weight_before = inventory.bits_per_weight();
  }

  // Calibration need not read every row of them.
  void check_embeddings() const {
    for (const std::string& module : {model_.tied_module(), model_.head_module()}) {
      const std::string name = module + ".weight";
      const Checkpoint& checkpoint = model_.checkpoint();
      if (!checkpoint.contains(name)) continue;
      if (!all_finite(checkpoint.tensor(name))) {
        throw bad_input("{}: holds NaN or infinity; the checkpoint is damaged", name);
      }
      checkpoint.drop_pages(name);
    }
  }

  void start_calibration() {
    if (!calibrated()) return;
    const CalibrationTokens tokens = calibration_tokens(settings_.calibration, model_, progress_);
    report_.calibration_source = tokens.source;
    report_.calibration_tokens = tokens.tokens();
    stream_.emplace(model_, tokens);
  }

  InputStatistics fresh_statistics(Stage stage) const {
    const Architecture& a = model_.architecture();
    // The output errors of the report need second moments, whatever the method does.
    return {a.in_features(a.roles(stage).front()), {.second_moments = true}};
  }

  void compress_block(std::int64_t block) {
    model_.load_block(block, stream_.has_value());
    Statistics statistics;
    if (stream_ && !settings_.true_sequential) {
      for (const Stage stage : kStages) statistics.emplace(stage, fresh_statistics(stage));
      stream_->visit_all(block, [&](Stage stage, const Matrix& x) { statistics.at(stage).add(x); });
    }
    for (const Stage stage : kStages) {
      if (stream_ && settings_.true_sequential) {
        InputStatistics& own = statistics.emplace(stage, fresh_statistics(stage)).first->second;
        stream_->visit(block, stage, [&](const Matrix& x) { own.add(x); });
      }
      compress_stage(block, stage, stream_ ? &statistics.at(stage) : nullptr);
      if (settings_.true_sequential) statistics.erase(stage);
    }
    // Nothing reads what the last block puts out.
    if (stream_ && block + 1 < model_.architecture().num_hidden_layers) stream_->finish(block);
    model_.unload_block(block);
    release_free_memory();
  }

  void compress_stage(std::int64_t block, Stage stage, const InputStatistics* inputs) {
    std::vector<LinearProblem> problems;
    std::vector<Linear*> linears;
    for (const LinearRole role : model_.architecture().roles(stage)) {
      Linear& linear = model_.block(block).linears.at(role);
      if (selection_.chosen(linear.module)) {
        problems.push_back({linear.module, linear.weight->dense(), inputs, false, role});
        linears.push_back(&linear);
      }
      progress_.advance(1);
    }
    if (problems.empty()) return;
    std::vector<LinearResult> results = method_->compress_all(problems);
    for (std::size_t i = 0; i < results.size(); ++i) {
      replace(*linears[i], problems[i].weight, std::move(results[i]), inputs);
    }
  }

  // Gives a linear its new weight, which later stages run with, and writes it.
  void replace(Linear& linear, const Matrix& before, LinearResult result,
               const InputStatistics* inputs) {
    const Matrix after = dense_weight(result);
    if (!settings_.dequantize) scheme_ = scheme_of(result);
    std::unique_ptr<Weight> weight = to_weight(linear.module, std::move(result), after);
    const std::string kind = store(linear.module, *weight, after, model_.architecture().conv1d);
    LinearReport row{linear.module, kind, relative_weight_error(before, after)};
    if (inputs != nullptr)
      row.relative_output_error = relative_output_error(before, after, inputs->moments());
    report_.linears.push_back(std::move(row));
    linear_parameters_ += before.size();
    if (stream_) weight->prepare();
    linear.weight = std::move(weight);
  }

  static std::optional<QuantizationScheme> scheme_of(const LinearResult& result) {
    const auto* quantized = std::get_if<QuantizedMatrix>(&result);
    return quantized != nullptr ? std::optional(quantized->scheme) : std::nullopt;
  }

  std::unique_ptr<Weight> to_weight(const std::string& module, LinearResult result,
                                    const Matrix& dense) const {
    if (auto* quantized = std::get_if<QuantizedMatrix>(&result)) {
      return std::make_unique<GroupQuantizedWeight>(std::move(*quantized));
    }
    return std::make_unique<DenseWeight>(dense, dtype_of(module));
  }

  DType dtype_of(const std::string& module) const {
    return model_.checkpoint().tensor(module + ".weight").dtype();
  }

  // Writes a compressed weight as it is, or its dense values in the type that the module had. The
  // codes are the same in both cases: later stages run with what they stand for exactly.
  std::string store(const std::string& module, const Weight& weight, const Matrix& dense,
                    bool transposed) {
    if (!settings_.dequantize) {
      write(module, weight);
      return weight.kind();
    }
    const DenseWeight plain(dense, dtype_of(module), transposed);
    write(module, plain);
    return plain.kind();
  }

  void write(const std::string& module, const Weight& weight) {
    for (const NamedTensor& tensor : weight.tensors(module)) {
      writer_.add(tensor.name, tensor.tensor);
      linear_bytes_ += tensor.tensor.bytes().size();
    }
    written_.insert(module + ".weight");
  }

  // Embedding and head are rounded to nearest: no activations come before the one, and the other
  // is as sensitive as it is large.
  void compress_embeddings() {
    if (settings_.embeddings_bits == 0) return;
    const std::int64_t group = embedding_group(model_.architecture().embedding_size);
    std::map<std::string, std::string> given{{"bits", std::to_string(settings_.embeddings_bits)},
                                             {"group_size", std::to_string(group)}};
    for (const char* shared : {"scale_dtype", "clip"}) {
      if (settings_.options.contains(shared)) given[shared] = settings_.options.at(shared);
    }
    const MethodOptions options(MethodRegistry::instance().find("rtn"), given);
    const auto method = make_linear_method("rtn", options, {model_.dtype()});
    const auto compress_one = [&](const std::string& module, const Weight& weight) {
      const Matrix before = weight.dense();
      LinearResult result = method->compress({module, before});
      const Matrix after = dense_weight(result);
      if (!settings_.dequantize) embedding_scheme_ = scheme_of(result);
      const std::unique_ptr<Weight> stored = to_weight(module, std::move(result), after);
      const std::string kind = store(module, *stored, after, false);
      report_.linears.push_back({module, kind, relative_weight_error(before, after)});
      linear_parameters_ += before.size();
    };
    compress_one(model_.tied_module(), model_.embedding());
    if (!model_.tied()) compress_one(model_.head_module(), *model_.head().weight);
    // A file may store both names of a tied matrix: the other one would contradict this one.
    embedding_modules_ = {model_.embedding_module(), model_.head_module()};
    for (const std::string& module : embedding_modules_) written_.insert(module + ".weight");
  }

  // Everything that no step changed: norms, biases, positions, ignored linears.
  void copy_remaining() {
    for (const std::string& name : model_.checkpoint().names()) {
      if (written_.contains(name)) continue;
      const Tensor tensor = model_.checkpoint().tensor(name);
      if (is_floating(tensor.dtype()) && !all_finite(tensor)) {
        throw bad_input("{}: holds NaN or infinity; the checkpoint is damaged", name);
      }
      writer_.add(name, tensor);
      model_.checkpoint().drop_pages(name);
    }
  }

  // Linears of the blocks by their class, which is what readers choose kernels by; GPT-2's are of
  // another class and are named.
  std::vector<std::string> block_targets() const {
    if (!model_.architecture().conv1d) return {"Linear"};
    std::vector<std::string> modules;
    for (const LinearReport& linear : report_.linears) {
      const bool embedding =
          std::ranges::find(embedding_modules_, linear.module) != embedding_modules_.end();
      if (!embedding) modules.push_back(linear.module);
    }
    return modules;
  }

  QuantizationConfig quantization_config() const {
    QuantizationConfig config;
    if (scheme_) config.groups.push_back({block_targets(), *scheme_});
    if (embedding_scheme_) config.groups.push_back({embedding_modules_, *embedding_scheme_});
    config.ignore.assign(selection_.ignored().begin(), selection_.ignored().end());
    if (!embedding_scheme_) config.ignore.push_back(model_.head_module());
    if (model_.architecture().projected_embeddings) {
      config.ignore.push_back(model_.project_in_module());
      config.ignore.push_back(model_.project_out_module());
    }
    return config;
  }

  void finish() {
    Json config = model_.checkpoint().config();
    if (scheme_ || embedding_scheme_)
      config["quantization_config"] = quantization_config().to_json();
    copy_side_files(model_.checkpoint().dir(), writer_.staging());
    writer_.finish(config);
    const Inventory inventory = take_inventory(Model::open(output_));
    report_.bytes_after = inventory.bytes;
    report_.bits_per_weight = inventory.bits_per_weight();
    report_.linear_bits_per_weight =
        linear_parameters_ > 0
            ? 8.0 * static_cast<double>(linear_bytes_) / static_cast<double>(linear_parameters_)
            : 0.0;
  }

  const std::filesystem::path& output_;
  const CompressionSettings& settings_;
  Progress& progress_;
  const MethodInfo& info_;
  Model model_;
  Selection selection_;
  std::unique_ptr<LinearMethod> method_;
  CheckpointWriter writer_;
  std::optional<CalibrationStream> stream_;
  std::optional<QuantizationScheme> scheme_;            // of the blocks' linears
  std::optional<QuantizationScheme> embedding_scheme_;  // of embedding and head
  std::vector<std::string> embedding_modules_;
  std::set<std::string> written_;
  std::int64_t linear_parameters_ = 0;
  std::uint64_t linear_bytes_ = 0;
  CompressionReport report_;
};

}  // namespace

CompressionReport compress(const std::filesystem::path& input, const std::filesystem::path& output,
                           const CompressionSettings& settings, Progress& progress) {
  return Compressor(input, output, settings, progress).run();
}

}  // namespace terse
