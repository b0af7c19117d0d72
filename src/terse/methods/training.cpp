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

std::vector<MethodOption> with_training_options(double learning_rate,
                                                std::vector<MethodOption> own) {
  const TrainingSettings s;
  const std::vector<MethodOption> loop{
      {"max_steps", s.max_steps, "Steps of training; 0: as many as the epochs have", {}, 0},
      {"num_train_epochs", s.num_train_epochs, "Walks over the text", {}, 0},
      {"batch_size", s.batch_size, "Windows that are computed together", {}, 1},
      {"gradient_accumulation_steps",
       s.gradient_accumulation_steps,
       "Batches of a step of training",
       {},
       1},
      {"learning_rate", learning_rate, "Highest learning rate", {}, 0},
      {"lr_scheduler_type",
       s.lr_scheduler_type,
       "How the learning rate goes on after its rise",
       {"constant", "cosine", "wsd"}},
      {"warmup_steps", s.warmup_steps, "Steps in which the learning rate rises", {}, 0},
      {"min_lr_rate", s.min_lr_rate, "Last learning rate, as a share of the highest", {}, 0, 1},
      {"weight_decay", 0.0, "Of AdamW; norms and biases have none", {}, 0},
      {"max_grad_norm", s.max_grad_norm, "Gradients are clipped to it; 0: not", {}, 0},
      {"data_seed", std::int64_t{0}, "Seed of the order of the text", {}, 0},
      {"save_steps", s.save_steps, "Steps between copies that a killed run goes on from", {}, 1},
      {"gradient_checkpointing", false, "Compute blocks again for their gradients"},
      {"device", s.device, "Where to compute, as libtorch names it"}};
  for (MethodOption option : loop) {
    option.whole_step = true;
    own.push_back(std::move(option));
  }
  return own;
}

TrainingSettings training_settings(const MethodOptions& options) {
  TrainingSettings s;
  s.max_steps = options.integer("max_steps");
  s.num_train_epochs = options.number("num_train_epochs");
  s.batch_size = options.integer("batch_size");
  s.gradient_accumulation_steps = options.integer("gradient_accumulation_steps");
  s.learning_rate = options.number("learning_rate");
  s.lr_scheduler_type = options.text("lr_scheduler_type");
  s.warmup_steps = options.integer("warmup_steps");
  s.min_lr_rate = options.number("min_lr_rate");
  s.weight_decay = options.number("weight_decay");
  s.max_grad_norm = options.number("max_grad_norm");
  s.seed = static_cast<std::uint64_t>(options.integer("data_seed"));
  s.save_steps = options.integer("save_steps");
  s.gradient_checkpointing = options.flag("gradient_checkpointing");
  s.device = options.text("device");
  return s;
}

}  // namespace terse
