#include "terse/formats/spool_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "terse/core/error.h"

namespace terse {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

Error disk_error(const std::filesystem::path& path) {
  return failure("{}: cannot write: {}", path.string(), std::generic_category().message(errno));
}

}  // namespace

SpoolFile::SpoolFile(std::filesystem::path path) : path_(std::move(path)) {
  std::string name = path_.string() + ".XXXXXX";
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw disk_error(path_);
  ::unlink(name.c_str());
}

SpoolFile::~SpoolFile() {
  ::close(descriptor_);
}

void SpoolFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw disk_error(path_);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void SpoolFile::copy_to(FileWriter& writer) const {
  std::vector<std::byte> buffer(kChunk);
  for (off_t offset = 0;;) {
    const ssize_t count = ::pread(descriptor_, buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw disk_error(path_);
    if (count == 0) return;
    writer.write(std::span(buffer).first(static_cast<std::size_t>(count)));
    offset += count;
  }
}

}  // namespace terse
