#include "terse/methods/learn/teacher_match.h"

#include <fmt/format.h>

#include <string>

#include "terse/core/digest.h"
#include "terse/core/error.h"
#include "terse/tokenizer/tokenizer.h"

namespace terse {
namespace {

namespace fs = std::filesystem;

std::string describe(const Model& model) {
  const Architecture& a = model.architecture();
  return fmt::format("{} ({} tokens, {} blocks of {})", model.checkpoint().dir().string(),
                     a.vocab_size, a.num_hidden_layers, a.hidden_size);
}

Error mismatch(const Model& teacher, const Model& student, const std::string& reason) {
  return bad_input(
      "the teacher {} cannot teach the student {} by its logits: {}; they need one "
      "vocabulary",
      describe(teacher), describe(student), reason);
}

fs::path tokenizer_of(const Model& model) {
  return model.checkpoint().dir() / "tokenizer.json";
}

// Padding rows of a model have no token.
std::string token_or_nothing(const Tokenizer& tokenizer, std::int32_t id) {
  try {
    return tokenizer.token(id);
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

void require_match(const Model& teacher, const Model& student) {
  const std::int64_t words = student.architecture().vocab_size;
  if (words != teacher.architecture().vocab_size) {
    throw mismatch(teacher, student, "they predict other numbers of tokens");
  }
  const fs::path first = tokenizer_of(teacher);
  const fs::path second = tokenizer_of(student);
  if (first == second || !fs::exists(first) || !fs::exists(second)) return;
  if (file_digest(first) == file_digest(second)) return;
  const Tokenizer teachers = Tokenizer::load(first);
  const Tokenizer students = Tokenizer::load(second);
  for (std::int32_t id = 0; id < words; ++id) {
    const std::string a = token_or_nothing(teachers, id);
    const std::string b = token_or_nothing(students, id);
    if (a == b) continue;
    throw mismatch(teacher, student, fmt::format("token {} is '{}' and '{}'", id, a, b));
  }
}

}  // namespace terse
