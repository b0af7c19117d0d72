#include "terse/search/measurements.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"
#include "terse/formats/staging_directory.h"
#include "terse/recipe/difference.h"

namespace terse {
namespace {

constexpr std::string_view kFormat = "terse search 2";

// The identity of the file is not that of the search.
class NotTheSame : public Error {
 public:
  explicit NotTheSame(const Error& error) : Error(error) {}
};

bool begins_like_ours(std::string_view text) {
  const std::string ours = fmt::format("{{\"format\":\"{}\",", kFormat);
  const std::size_t length = std::min(text.size(), ours.size());
  return text.substr(0, length) == std::string_view(ours).substr(0, length);
}

Error failed(const std::filesystem::path& path) {
  return failure("{}: {}", path.string(), disk_message(errno));
}

}  // namespace

void Measurements::require_same(const Json& before, const Json& now) const {
  const std::string difference = first_difference(before, now);
  if (difference.empty()) return;
  throw NotTheSame(
      bad_input("{}: holds measurements of another search ({}); use --restart to begin again, or "
                "give another file",
                path_.string(), difference));
}

Measurements::Measurements(std::filesystem::path path, const Json& identity, bool restart)
    : path_(std::move(path)) {
  open();
  try {
    load(identity, restart);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Measurements::~Measurements() {
  ::close(descriptor_);
}

void Measurements::open() {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw failed(path_);
  // File systems that know no locks give none.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw failure("{}: another search is writing it; wait until it is done", path_.string());
}

// The file of somebody else is never touched, not even with `restart`.
void Measurements::load(const Json& identity, bool restart) {
  const std::string text = read_file(path_);
  if (!begins_like_ours(text)) {
    throw bad_input("{}: is no file of measurements; give another name", path_.string());
  }
  std::size_t kept = 0;
  if (!restart) kept = parse(text, identity);
  if (kept != text.size() && ::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0) {
    throw failed(path_);
  }
  if (kept == 0) append({{"format", kFormat}, {"identity", identity}});
}

// Reads whole lines up to the first that is none of ours, and says where they end.
std::size_t Measurements::parse(const std::string& text, const Json& identity) {
  std::size_t kept = 0;
  for (std::size_t end = 0; (end = text.find('\n', kept)) != std::string::npos; kept = end + 1) {
    try {
      const Json json = parse_json(std::string_view(text).substr(kept, end - kept));
      if (kept > 0) {
        values_[get_string(json, "key")] = get_object(json, "value");
        continue;
      }
      require_same(get_object(json, "identity"), identity);
    } catch (const NotTheSame&) {
      throw;
    } catch (const Error&) {
      break;
    }
  }
  return kept;
}

void Measurements::append(const Json& line) {
  const std::string text = line.dump() + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw failed(path_);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fdatasync(descriptor_) != 0) throw failed(path_);
}

const Json* Measurements::find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void Measurements::add(const std::string& key, Json value) {
  append({{"key", key}, {"value", value}});
  values_[key] = std::move(value);
}

void Measurements::remove() {
  with_filesystem_errors([&] { std::filesystem::remove(path_); });
}

}  // namespace terse
