// What a search has measured, in a file that survives whatever ends the process.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "terse/core/json.h"

namespace terse {

/// Results (objects) by keys, each a line of JSON that is durable before `add` returns. The first
/// line says what they are of. A last line that was torn is dropped.
class Measurements {
 public:
  /// Continues a file, or begins one. With `restart` a file is replaced. Errors: bad_input where it
  /// is of something else (says what differs) or no file of measurements, failed when another
  /// process holds it or the disk is full.
  Measurements(std::filesystem::path path, const Json& identity, bool restart);
  ~Measurements();
  Measurements(const Measurements&) = delete;
  Measurements& operator=(const Measurements&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Null where the key is not there.
  const Json* find(const std::string& key) const;

  /// Errors: failed.
  void add(const std::string& key, Json value);

  std::size_t size() const { return values_.size(); }

  /// Removes the file.
  void remove();

 private:
  void open();
  void load(const Json& identity, bool restart);
  std::size_t parse(const std::string& text, const Json& identity);
  void require_same(const Json& before, const Json& now) const;
  void append(const Json& line);

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::map<std::string, Json> values_;
};

}  // namespace terse
