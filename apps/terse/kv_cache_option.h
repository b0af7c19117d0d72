// `--kv-cache`, of verbs that run models.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "terse/model/key_value_cache.h"

namespace terse::cli {

/// The names are checked here and not by CLI11's transformer, which would take the enumerators'
/// numbers too: some of them look like numbers of bits.
inline void add_kv_cache_option(CLI::App& command, CacheOptions& cache) {
  static const std::map<std::string, CacheType> kTypes{{"f32", CacheType::f32},
                                                       {"f16", CacheType::f16},
                                                       {"8", CacheType::bits8},
                                                       {"4", CacheType::bits4},
                                                       {"2", CacheType::bits2}};
  command
      .add_option_function<std::string>(
          "--kv-cache", [&cache](const std::string& name) { cache.type = kTypes.at(name); },
          "How keys and values of earlier positions are held: exactly (f32), in float16 (f16), or "
          "in so many bits but for the last 32 positions at most")
      ->default_str(cache.type == CacheType::f32 ? "f32" : "f16")
      ->type_name("NAME")
      ->check(CLI::IsMember(std::vector<std::string>{"f32", "f16", "8", "4", "2"}));
}

}  // namespace terse::cli
