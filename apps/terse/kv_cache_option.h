// `--kv-cache`, of verbs that run models.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "terse/model/key_value_cache.h"

namespace terse::cli {

inline void add_kv_cache_option(CLI::App& command, CacheOptions& cache) {
  static const std::map<std::string, CacheType> kNames{{"f32", CacheType::f32},
                                                       {"f16", CacheType::f16},
                                                       {"8", CacheType::bits8},
                                                       {"4", CacheType::bits4},
                                                       {"2", CacheType::bits2}};
  command
      .add_option(
          "--kv-cache", cache.type,
          "How keys and values of earlier positions are held: exactly (f32), in float16, or "
          "in so many bits but for the last positions, 32 at most")
      ->default_str(cache.type == CacheType::f32 ? "f32" : "f16")
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(kNames));
}

}  // namespace terse::cli
