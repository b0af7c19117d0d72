// Ranks by what is lost: parameters go where a term of a weight is worth most. Each linear's loss
// is a share of its energy by its own method's norm (with second moments the loss that truncation
// leaves in theory, by which SVD-LLM V2 gives ranks too: Wang et al., NAACL 2025, arXiv 2503.12340,
// section 3.1), and the sum over all linears is made least.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "terse/core/error.h"
#include "terse/methods/allocation.h"
#include "terse/methods/lowrank/budget.h"
#include "terse/methods/lowrank/low_rank_method.h"

namespace terse {
namespace {

struct Candidate {
  std::string name;
  double parameters;            // what it loses counts as many times: measured better than once
  std::vector<Choice> choices;  // the last: as it is
};

class EnergyAllocation : public Allocation {
 public:
  EnergyAllocation(const MethodInfo& info, const MethodOptions& options)
      : need_(info.need),
        ratio_(options.number("ratio")),
        made_(make_linear_method(info.name, options, {})),
        method_(dynamic_cast<const LowRankMethod&>(*made_)) {}

  MethodNeed need() const override { return need_; }
  std::optional<ImportanceScore> importance() const override { return method_.importance(); }

  void visit(std::int64_t /*block*/, const LinearProblem& linear) override {
    const Eigen::VectorXd energies = method_.energies(linear);
    const double total = energies.sum();
    const std::int64_t rows = linear.weight.rows();
    const std::int64_t columns = linear.weight.cols();
    Candidate candidate{linear.name, static_cast<double>(rows * columns), {}};
    for (const std::int64_t rank : method_.ranks(rows, columns)) {
      const double lost = energies.tail(energies.size() - rank).sum();
      candidate.choices.push_back({static_cast<double>(rank * (rows + columns)),
                                   total > 0 ? candidate.parameters * lost / total : 0.0});
    }
    candidate.choices.push_back({candidate.parameters, 0.0});
    candidates_.push_back(std::move(candidate));
  }

  std::map<std::string, double> shares() const override {
    double parameters = 0;
    std::vector<std::vector<Choice>> lists;
    for (const Candidate& candidate : candidates_) {
      parameters += candidate.parameters;
      lists.push_back(candidate.choices);
    }
    const std::vector<std::size_t> chosen = choose_within(lists, ratio_ * parameters);
    std::map<std::string, double> shares;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const Candidate& candidate = candidates_[i];
      shares[candidate.name] = candidate.choices[chosen[i]].cost / candidate.parameters;
    }
    return shares;
  }

 private:
  MethodNeed need_;
  double ratio_;
  std::unique_ptr<LinearMethod> made_;
  const LowRankMethod& method_;
  std::vector<Candidate> candidates_;
};

const AllocationRegistration kRegistration(
    "energy", "ratio", [](const MethodInfo& info, const MethodOptions& options) {
      return std::make_unique<EnergyAllocation>(info, options);
    });

}  // namespace
}  // namespace terse
