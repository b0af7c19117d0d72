// Any bytes as the list of an unfinished run: refused, or a list with a canonical form whose files
// all lie in its folder. Nothing but bad_input may leave.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "terse/core/error.h"
#include "terse/recipe/journal_list.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void require_inside(const std::string& file) {
  const std::filesystem::path path = std::filesystem::path("folder") / file;
  require(path.parent_path() == "folder" && path.filename() != "..");
}

void require_inside(const terse::PartRecord& part) {
  require_inside(part.file);
  require_inside(part.exact_file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  terse::JournalList list;
  try {
    list = terse::parse_journal_list({reinterpret_cast<const char*>(data), size});
  } catch (const terse::Error& error) {
    require(error.kind() == terse::ErrorKind::bad_input);
    return 0;
  }
  for (const terse::PassRecord& pass : list.passes) {
    require_inside(pass.activations_file);
    for (const terse::PartRecord& part : pass.blocks) require_inside(part);
    if (pass.adapter) {
      require_inside(pass.adapter->config_file);
      require_inside(pass.adapter->tensors_file);
    }
  }
  if (list.embeddings) require_inside(*list.embeddings);
  for (const std::size_t blocks : {0U, 1U, 2U}) terse::fits(list, list.passes.size(), blocks);
  const std::string text = terse::to_json(list).dump();
  require(terse::to_json(terse::parse_journal_list(text)).dump() == text);
  return 0;
}
