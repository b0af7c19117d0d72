// Low-rank adapters (Hu et al., arXiv 2106.09685).
#include <cmath>
#include <set>
#include <utility>

#include "terse/core/error.h"
#include "terse/methods/learn/lora_start.h"
#include "terse/methods/lowrank/loftq.h"
#include "terse/train/methods/learning_method.h"
#include "terse/train/parametrisations/dense.h"
#include "terse/train/parametrisations/lora.h"

namespace terse::train {
namespace {

// A weight and the adapter that training begins with.
struct Beginning {
  std::shared_ptr<Weight> base;
  LoraSettings settings;
  LoraFactors factors;
};

LoraSettings settings_of(const PeftConfig& config) {
  return {config.r, config.lora_alpha, config.use_rslora, config.use_dora};
}

Beginning fresh(const LearningProblem& problem, const LoraSettings& settings, std::int64_t block,
                const LinearKey& key, const Linear& linear) {
  const auto seed = static_cast<std::uint64_t>(problem.options.integer("data_seed") * 1000003 +
                                               block * 101 + static_cast<std::int64_t>(key.role));
  return {linear.weight, settings,
          fresh_factors(linear.weight->rows(), linear.weight->columns(), settings.r, seed)};
}

Beginning continued(const PeftConfig& config, const PeftModule& adapter, const Linear& linear) {
  LoraSettings settings = settings_of(config);
  settings.r = adapter.r();
  settings.lora_alpha = adapter.lora_alpha;
  LoraFactors factors{adapter.a.to_matrix(), adapter.b.to_matrix(), {}};
  if (adapter.magnitude) factors.magnitude = adapter.magnitude->to_matrix().row(0).transpose();
  return {linear.weight, settings, std::move(factors)};
}

// The weight of the recipe's input that a linear was made from.
Matrix original_weight(const LearningProblem& problem, std::int64_t block, const LinearKey& key,
                       const Weight& now) {
  const Model& input = problem.input();
  const bool there =
      block < input.architecture().num_hidden_layers && input.block(block).linears.contains(key);
  Matrix weight = there ? input.block(block).linears.at(key).weight->dense() : Matrix();
  if (weight.rows() != now.rows() || weight.cols() != now.columns()) {
    throw bad_usage(
        "init_lora_weights: loftq compares with the recipe's input, whose weight is [{}, {}], not "
        "[{}, {}]: steps before changed the shape; use init_lora_weights: default",
        weight.rows(), weight.cols(), now.rows(), now.columns());
  }
  return weight;
}

Beginning from_loss_of_quantisation(const LearningProblem& problem, const LoraSettings& settings,
                                    std::int64_t block, const LinearKey& key,
                                    const Linear& linear) {
  return with_context(linear.module, [&]() -> Beginning {
    const auto integers = std::dynamic_pointer_cast<GroupQuantizedWeight>(linear.weight);
    if (!integers) {
      throw bad_usage("init_lora_weights: loftq is for integers; this is stored as {}",
                      linear.weight->kind());
    }
    LoftqResult found = loftq(original_weight(problem, block, key, *integers), integers, settings.r,
                              problem.options.integer("loftq_iter"));
    const auto share = static_cast<float>(1.0 / std::sqrt(settings.scale()));
    return {found.quantized, settings, {share * found.a, share * found.b, {}}};
  });
}

class LoraMethod : public LearningMethod {
 public:
  TrainingChoice choice(const LearningProblem& problem,
                        const torch::Device& device) const override {
    const LoraStart start = lora_start(problem.options, problem.model);
    return {
        [&problem, start, device](std::int64_t block, const LinearKey& key, const Linear& linear) {
          const auto beginning = begin(problem, start, block, key, linear);
          if (!beginning) return fixed_parametrisation(linear.weight, device);
          return lora_parametrisation(beginning->base, beginning->settings, beginning->factors,
                                      problem.pruned(block, key), problem.options.flag("merge"),
                                      device);
        },
        false, false};
  }

  void complete(const LearningProblem& problem, const TrainableModel& model,
                LearnedModel& learned) const override {
    if (!problem.options.flag("save_adapter")) return;
    const Architecture& a = model.architecture();
    learned.adapter = PeftAdapter{lora_start(problem.options, problem.model).config, {}};
    std::set<std::string> adapted;
    for (std::int64_t block = 0; block < a.num_hidden_layers; ++block) {
      for (const auto& [key, linear] : model.block(block).linears) {
        auto adapter = trained_adapter(transformers_module(a, block, key), *linear.weight);
        if (!adapter) continue;
        adapted.insert(adapter->name);
        learned.adapter->modules.push_back(std::move(*adapter));
      }
    }
    describe(learned.adapter->config, a, adapted, problem);
  }

 private:
  // None where a linear stays as it is.
  static std::optional<Beginning> begin(const LearningProblem& problem, const LoraStart& start,
                                        std::int64_t block, const LinearKey& key,
                                        const Linear& linear) {
    if (!problem.chosen(block, key)) return std::nullopt;
    if (!start.adapters.empty()) {
      const auto adapter = start.adapters.find(linear.module);
      if (adapter == start.adapters.end()) return std::nullopt;
      return continued(start.config, adapter->second, linear);
    }
    const LoraSettings settings = settings_of(start.config);
    return problem.options.text("init_lora_weights") == "loftq"
               ? from_loss_of_quantisation(problem, settings, block, key, linear)
               : fresh(problem, settings, block, key, linear);
  }

  // What an adapter that was read says of itself stays.
  static void describe(PeftConfig& config, const Architecture& architecture,
                       const std::set<std::string>& adapted, const LearningProblem& problem) {
    if (!problem.options.text("adapter").empty()) return;
    config.fan_in_fan_out = architecture.conv1d;
    config.target_modules = target_modules(architecture, adapted);
    if (!problem.input_rounded) return;
    config.base_model_name_or_path =
        get_string(problem.model.checkpoint().config(), "_name_or_path", "");
  }
};

const LearningMethodEntry<LoraMethod> lora_entry("lora");

}  // namespace
}  // namespace terse::train
