// `--activations`, of verbs that run models.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "terse/model/weight.h"

namespace terse::cli {

inline void add_activations_option(CLI::App& command, ActivationType& activations) {
  static const std::map<std::string, ActivationType> kNames{{"f32", ActivationType::f32},
                                                            {"int8", ActivationType::int8}};
  command
      .add_option("--activations", activations,
                  "What weights of integers are multiplied with: the inputs rounded to 8 bits "
                  "(int8, faster) or as they are (f32, exact)")
      ->default_str(activations == ActivationType::f32 ? "f32" : "int8")
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(kNames));
}

}  // namespace terse::cli
