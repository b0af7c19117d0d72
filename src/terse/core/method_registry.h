// The one list of compression methods: what recipe, help, documentation and tests read.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace terse {

/// What a method changes at a time.
enum class MethodScope { linear, block, neighbouring_blocks, model };

/// What a method must be handed. Names in the papers' words.
enum class MethodNeed {
  nothing,
  input_norms,
  input_ranges,
  input_second_moments,
  block_inputs_outputs,
  gradients,
  importance,
  evaluator
};

std::string_view scope_name(MethodScope scope);
std::string_view need_name(MethodNeed need);

/// A value of an option; its alternative is the option's type.
using OptionValue = std::variant<bool, std::int64_t, double, std::string>;

/// "4", "0.01", "true", "minmax".
std::string option_text(const OptionValue& value);

/// One option of a method: `name` in the field's words (`group_size`), a default from the paper.
struct MethodOption {
  std::string name;
  OptionValue default_value;
  std::string help;
  std::vector<std::string> choices = {};  ///< Of a string option; empty means any string.
  double minimum = -1e300;                ///< Of a number.
  double maximum = 1e300;
  bool whole_step = false;  ///< Must be the same for all linears of a step.
};

/// Facts about a method, known even where the code behind it is not installed.
struct MethodInfo {
  std::string name;      ///< As written in a recipe: "gptq".
  std::string category;  ///< "quantize", "prune", …
  std::string summary;   ///< One line.
  std::string paper;     ///< Authors, title, where.
  MethodScope scope;
  MethodNeed need;
  std::vector<MethodOption> options;
};

/// Values for the options of one method: complete and checked.
class MethodOptions {
 public:
  /// Defaults of `info`, then `given` (text as typed) over them. Errors (bad_usage): an unknown
  /// option (with the nearest known one), a value of the wrong type, out of range or no choice.
  MethodOptions(const MethodInfo& info, const std::map<std::string, std::string>& given);

  bool flag(std::string_view name) const { return get<bool>(name); }
  std::int64_t integer(std::string_view name) const { return get<std::int64_t>(name); }
  double number(std::string_view name) const { return get<double>(name); }
  const std::string& text(std::string_view name) const { return get<std::string>(name); }

  /// Whether the value was given, not left to its default.
  bool given(std::string_view name) const { return given_.contains(name); }

 private:
  template <class T>
  const T& get(std::string_view name) const {
    return std::get<T>(values_.find(name)->second);
  }

  std::map<std::string, OptionValue, std::less<>> values_;
  std::set<std::string, std::less<>> given_;
};

/// Every method by name.
class MethodRegistry {
 public:
  static MethodRegistry& instance();

  void add(MethodInfo info);
  const std::map<std::string, MethodInfo, std::less<>>& all() const { return methods_; }

  /// Errors: bad_usage, with the nearest known name.
  const MethodInfo& find(std::string_view name) const;

 private:
  std::map<std::string, MethodInfo, std::less<>> methods_;
};

}  // namespace terse
