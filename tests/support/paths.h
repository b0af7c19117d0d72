// Where tests find what the repository and the folder beside it hold.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace terse::test {

inline std::filesystem::path source_path(const std::string& relative) {
  return std::filesystem::path(TERSE_SOURCE_DIR) / relative;
}

// Models and numbers that are not part of the repository; tests that need them skip where it is
// absent. TERSE_SHARED names another place.
inline std::filesystem::path shared_path(const std::string& relative) {
  const char* named = std::getenv("TERSE_SHARED");
  return (named != nullptr ? std::filesystem::path(named) : source_path("../shared")) / relative;
}

inline nlohmann::json read_json_file(const std::filesystem::path& path) {
  std::ifstream stream(path);
  return nlohmann::json::parse(stream);
}

}  // namespace terse::test
