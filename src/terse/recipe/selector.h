// Selectors: which linears of a model a step of a recipe is for.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "terse/model/model.h"

namespace terse {

/// One linear of a block.
struct LinearPlace {
  std::int64_t block;
  LinearRole role;
  std::string module;  ///< Its name in the checkpoint, without ".weight".
  std::int64_t expert = kNoExpert;

  LinearKey key() const { return {role, expert}; }
};

/// Every linear of the blocks of a model, in the order of the forward pass.
std::vector<LinearPlace> linear_places(const Model& model);

/// Words with spaces between them, all of which must hold:
///   attention, mlp       linears of that part of a block
///   q_proj, down_proj …  a role; fused and renamed ones by the role that they have here
///   block 3, blocks 0-5  blocks by number, counted from 0; "blocks -2" is the last but one, and
///                        "blocks -4--1" the last four
///   anything else        a regular expression (PCRE2) that matches somewhere in the module's name:
///                        "experts" for those of experts, "experts\\.3\\." for those of one
class Selector {
 public:
  /// Errors: bad_usage for an empty text, a range that is none or a regular expression that is
  /// none.
  explicit Selector(const std::string& text);

  /// `blocks` is the number of blocks of the model. Errors: bad_input when a regular expression
  /// takes too long on the name.
  bool matches(const LinearPlace& place, std::int64_t blocks) const;

  const std::string& text() const { return text_; }

 private:
  using Term = std::function<bool(const LinearPlace& place, std::int64_t blocks)>;

  std::string text_;
  std::vector<Term> terms_;
};

}  // namespace terse
