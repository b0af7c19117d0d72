#include "terse/methods/training.h"

#include <dlfcn.h>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr const char* kLibrary = "libterse_train.so";
constexpr const char* kEntry = "terse_training_module";

// The folder of the library that holds this function.
std::filesystem::path library_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&training_module), &info) == 0) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

TrainingModule& load() {
  const std::filesystem::path path = library_folder() / kLibrary;
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw failure(
        "training needs {}, which is not there: install libtorch-dev and build again ({})",
        kLibrary, ::dlerror());
  }
  using Entry = TrainingModule* (*)();
  const auto entry = reinterpret_cast<Entry>(::dlsym(library, kEntry));
  if (entry == nullptr) throw failure("{}: is not of this version of terse", path.string());
  return *entry();
}

}  // namespace

TrainingModule& training_module() {
  static TrainingModule& module = load();
  return module;
}

}  // namespace terse
