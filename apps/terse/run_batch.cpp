// terse run --batch: a file of prompts in, a file of texts out.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

#include "run.h"
#include "terminal.h"
#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/model/text/batch_file.h"

namespace terse::cli {
namespace {

constexpr std::int64_t kBatchSize = 16;

// Writes lines in the order of their numbers, each as soon as those before it are there.
class OrderedLines {
 public:
  // To standard output when `path` is empty; else to a file that has its name once all is written.
  explicit OrderedLines(const std::filesystem::path& path) {
    if (!path.empty()) file_.emplace(path);
  }

  void add(std::size_t number, std::string line) {
    waiting_.emplace(number, std::move(line));
    for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_;
         first = waiting_.erase(first)) {
      write(first->second);
      ++next_;
    }
  }

  void commit() {
    if (file_) file_->commit();
  }

 private:
  void write(const std::string& line) {
    if (file_) return file_->write(line);
    const bool written = std::fwrite(line.data(), 1, line.size(), stdout) == line.size();
    if (!written || std::fflush(stdout) != 0) {
      throw failure("standard output: cannot write: {}", std::generic_category().message(errno));
    }
  }

  std::optional<FileWriter> file_;
  std::map<std::size_t, std::string> waiting_;
  std::size_t next_ = 0;
};

std::string to_line(const BatchRequest& request, const TextPrompt& prompt,
                    const GeneratedText& made, const Tokenizer& tokenizer) {
  Json json = to_json(made, prompt, tokenizer);
  if (!request.id.is_null()) json["id"] = request.id;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool has_messages(const std::vector<BatchRequest>& requests) {
  return std::ranges::any_of(requests, [](const auto& each) { return !each.prompt; });
}

// Lines on a terminal show by themselves how far the work is.
std::unique_ptr<Progress> progress_beside(const std::filesystem::path& output) {
  if (output.empty() && ::isatty(STDOUT_FILENO) != 0) return std::make_unique<Progress>();
  return std::make_unique<TerminalProgress>();
}

}  // namespace

void run_batch(const RunOptions& options) {
  const std::string source = options.batch == "-" ? "standard input" : options.batch;
  const std::string text = options.batch == "-" ? standard_input() : read_file(options.batch);
  const auto requests = with_context(source, [&] { return parse_batch(text); });
  const TextEncoder encoder = TextEncoder::load(options.model);
  std::optional<ChatTemplate> form;
  if (has_messages(requests)) form = ChatTemplate::open(options.model);
  Model model = Model::open(options.model, options.activations);
  const BatchSetting setting{encoder, form ? &*form : nullptr, model.architecture(),
                             options.generation.sampling.seed, options.stop_strings};
  const auto prompts = with_context(source, [&] { return encode_batch(requests, setting); });
  OrderedLines lines(options.output);
  model.load_all();

  GenerationOptions generation = options.generation;
  if (generation.batch_size == 0) generation.batch_size = kBatchSize;
  generation.stop_tokens = end_tokens(model.checkpoint(), encoder);
  const std::unique_ptr<Progress> progress = progress_beside(options.output);
  progress->begin("writing", static_cast<std::int64_t>(prompts.size()), "texts");
  TextCallbacks callbacks;
  callbacks.on_end = [&](std::size_t i, const GeneratedText& made) {
    lines.add(i, to_line(requests[i], prompts[i], made, encoder.tokenizer()));
    progress->advance(1);
  };
  generate_texts(model, encoder.tokenizer(), prompts, generation, callbacks);
  progress->end();
  lines.commit();
}

}  // namespace terse::cli
