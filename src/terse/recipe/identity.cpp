#include "terse/recipe/identity.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/core/version.h"
#include "terse/formats/staging_directory.h"
#include "terse/kernels/instruction_set.h"
#include "terse/recipe/difference.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

void add_file(Json& files, const fs::path& path) {
  if (!fs::exists(path)) throw bad_input("{}: no such file", path.string());
  files[path.string()] = {{"bytes", fs::file_size(path)}, {"digest", file_digest(path)}};
}

// Of a file that is too large to be read for it.
Json weights_identity(const SafetensorsFile& file) {
  struct stat status = {};
  if (::stat(file.path().c_str(), &status) != 0) {
    throw bad_input("{}: cannot be read", file.path().string());
  }
  Digest header;
  header.add(file.header_bytes());
  return {{"bytes", status.st_size},
          {"changed", fmt::format("{}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec)},
          {"header", header.text()}};
}

}  // namespace

Json model_identity(const Checkpoint& checkpoint) {
  Json files = Json::object();
  for (const SafetensorsFile& file : checkpoint.files()) {
    files[file.path().filename().string()] = weights_identity(file);
  }
  files["config.json"] = {{"digest", file_digest(checkpoint.dir() / "config.json")}};
  return files;
}

std::map<std::string, std::string> model_digests(const Checkpoint& checkpoint) {
  std::map<std::string, std::string> digests;
  for (const SafetensorsFile& file : checkpoint.files()) {
    digests[file.path().filename().string()] = file_digest(file.path());
  }
  digests["config.json"] = file_digest(checkpoint.dir() / "config.json");
  return digests;
}

Json importance_identity(const fs::path& file) {
  if (file.empty()) return nullptr;
  return weights_identity(SafetensorsFile::open(file));
}

Json text_identity(const std::vector<fs::path>& texts, const fs::path& token_file,
                   const fs::path& model) {
  Json files = Json::object();
  with_filesystem_errors([&] {
    for (const fs::path& text : texts) {
      if (!fs::is_directory(text)) {
        add_file(files, text);
        continue;
      }
      for (const auto& entry : fs::recursive_directory_iterator(text)) {
        if (entry.is_regular_file()) add_file(files, entry.path());
      }
    }
    if (!token_file.empty()) add_file(files, token_file);
    const fs::path tokenizer = model / "tokenizer.json";
    if (!texts.empty() && fs::exists(tokenizer)) add_file(files, tokenizer);
  });
  return files;
}

Json files_identity(const std::vector<fs::path>& paths) {
  Json files = Json::object();
  with_filesystem_errors([&] {
    for (const fs::path& path : paths) add_file(files, path);
  });
  return files;
}

Json program_identity() {
  return {
      {"version", std::string(version())},
      {"instruction_set", std::string(kernels::instruction_set_name(kernels::instruction_set()))}};
}

void require_same_run(const fs::path& output, const std::vector<std::string>& what,
                      const Json& before, const Json& now) {
  for (const std::string& part : what) {
    const Json then = before.value(part, Json());
    if (then == now.at(part)) continue;
    throw bad_input(
        "{}: is unfinished, and the {} has changed since: {}; use --restart to begin again",
        output.string(), part, first_difference(then, now.at(part)));
  }
}

}  // namespace terse
