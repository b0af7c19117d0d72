#include "terse/train/methods/cached_teacher.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "terse/core/directory_lock.h"
#include "terse/core/error.h"
#include "terse/train/chunked_loss.h"
#include "terse/train/device.h"
#include "terse/train/loop/trainer.h"
#include "terse/train/loop/training_text.h"
#include "terse/train/tensors.h"

namespace terse::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kTopK = 64;
constexpr std::int64_t kRowsAtOnce = 4096;  // of hidden states

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

// What the outputs of this teacher for this text are like.
TeacherOutputsInfo info_of(const CachedTeacher& cached, std::int64_t vocab_size,
                           const PackedTokens& text) {
  if (cached.top_k > vocab_size) {
    throw bad_usage("teacher_top_k {} is more than the vocabulary of {} tokens", cached.top_k,
                    vocab_size);
  }
  TeacherOutputsInfo info{vocab_size, text.window(), text.windows(),
                          cached.top_k > 0 ? cached.top_k : std::min(kTopK, vocab_size)};
  info.made_from["text"] = text.digest();
  for (const auto& [name, digest] : cached.digests) info.made_from["teacher's " + name] = digest;
  return info;
}

TeacherOutputs open_fitting(const fs::path& file, const TeacherOutputsInfo& wanted) {
  TeacherOutputs outputs = TeacherOutputs::open(file);
  const std::string difference = outputs.info().difference(wanted);
  if (difference.empty()) return outputs;
  throw bad_input(
      "{}: was made from other things than this run's: {}; name another file for teacher_outputs, "
      "or delete this one, and it is written anew",
      file.string(), difference);
}

// [rows, k] and [rows, k + 1] of rows of logits.
TopK most_probable(const torch::Tensor& logits, std::int64_t k) {
  const torch::Tensor logarithms = logits.log_softmax(1);
  const torch::Tensor ids = std::get<0>(std::get<1>(logarithms.topk(k, 1)).sort(1));
  const torch::Tensor top = logarithms.gather(1, ids);
  if (k == logits.size(1)) return {ids, top};
  // Not one less the sum of the others, which would lose all digits of a small remainder.
  const torch::Tensor others =
      logarithms.scatter(1, ids, -std::numeric_limits<double>::infinity()).logsumexp(1, true);
  return {ids, torch::cat({top, others}, 1)};
}

void add_rows(const TopK& top, TeacherOutputsWriter& writer) {
  const torch::Tensor ids = top.ids.cpu().contiguous();
  const torch::Tensor values = top.log_probabilities.to(torch::kCPU, torch::kFloat).contiguous();
  const auto k = static_cast<std::size_t>(ids.size(1));
  const auto outcomes = static_cast<std::size_t>(values.size(1));
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    writer.add({ids[row].data_ptr<std::int64_t>(), k}, {values[row].data_ptr<float>(), outcomes});
  }
}

void write_batch(const TrainableModel& teacher, const TokenBatch& batch, std::int64_t k,
                 TeacherOutputsWriter& writer) {
  const torch::Tensor hidden = hidden_states(teacher, batch.ids, false);
  for (std::int64_t first = 0; first < hidden.size(0); first += kLossRows) {
    const std::int64_t rows = std::min(kLossRows, hidden.size(0) - first);
    const torch::Tensor logits = teacher.logits(hidden.narrow(0, first, rows));
    if (!logits.isfinite().all().item<bool>()) {
      throw bad_input("the teacher's logits are not finite; the model is damaged");
    }
    add_rows(most_probable(logits, k), writer);
  }
}

void write_outputs(const TeacherTask& task, const TeacherOutputsInfo& info,
                   const PackedTokens& text, Progress& progress) {
  const torch::NoGradGuard no_grad;
  const torch::Device device = parse_device(task.device);
  TeacherOutputsWriter writer(task.cached.file, info);
  const TrainableModel teacher(task.teacher(), train_nothing(device), device);
  const std::int64_t at_once = std::max<std::int64_t>(1, kRowsAtOnce / info.window);
  progress.begin("writing the teacher's outputs", info.positions(), "tokens");
  for (std::int64_t first = 0; first < info.windows; first += at_once) {
    std::vector<std::int64_t> numbers(
        static_cast<std::size_t>(std::min(at_once, info.windows - first)));
    std::iota(numbers.begin(), numbers.end(), first);
    write_batch(teacher, text.batch(numbers, device), info.top_k, writer);
    progress.advance(static_cast<std::int64_t>(numbers.size()) * info.window);
  }
  writer.commit();
  sync_directory(folder_of(task.cached.file));
  progress.end();
}

}  // namespace

void cache_teacher(const TeacherTask& task, Progress& progress) {
  prepare_threads();
  const PackedTokens text =
      packed_text_of_step(task.text, task.model, task.architecture, task.window, task.folder);
  const TeacherOutputsInfo info = info_of(task.cached, task.architecture.vocab_size, text);
  if (!fs::exists(task.cached.file)) {
    const DirectoryLock lock(folder_of(task.cached.file));
    if (!fs::exists(task.cached.file)) write_outputs(task, info, text, progress);
  }
  open_fitting(task.cached.file, info);
}

TeacherOutputs open_teacher_outputs(const LearningProblem& problem) {
  const Architecture& a = problem.model.architecture();
  const PackedTokens text = packed_text_of_step(problem.text, problem.model.checkpoint().dir(), a,
                                                problem.window, problem.folder);
  return open_fitting(problem.cached_teacher.file,
                      info_of(problem.cached_teacher, a.vocab_size, text));
}

TopK teacher_rows(const TeacherOutputs& outputs, const TokenBatch& batch, std::int64_t first,
                  std::int64_t rows) {
  const TeacherOutputsInfo& info = outputs.info();
  const TopK top{torch::empty({rows, info.top_k}, torch::kLong),
                 torch::empty({rows, info.outcomes()}, torch::kFloat)};
  auto* ids = top.ids.data_ptr<std::int64_t>();
  auto* values = top.log_probabilities.data_ptr<float>();
  for (std::int64_t row = first; row < first + rows; ++row) {
    const std::int64_t window = batch.windows[static_cast<std::size_t>(row / info.window)];
    outputs.read(window * info.window + row % info.window,
                 {ids, static_cast<std::size_t>(info.top_k)},
                 {values, static_cast<std::size_t>(info.outcomes())});
    ids += info.top_k;
    values += info.outcomes();
  }
  return {top.ids.to(batch.ids.device()), top.log_probabilities.to(batch.ids.device())};
}

}  // namespace terse::train
