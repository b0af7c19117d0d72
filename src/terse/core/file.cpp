#include "terse/core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "terse/core/error.h"

namespace terse {
namespace {

std::string system_message(int code) {
  return std::generic_category().message(code);
}

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

}  // namespace

std::string disk_message(int code) {
  std::string message = system_message(code);
  if (code == ENOSPC || code == EDQUOT) {
    message += "; free space on this disk and run the same command again";
  }
  if (code == EIO) message += "; check this disk and run the same command again";
  return message;
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) throw bad_input("{}: {}", path.string(), system_message(errno));
  struct stat status = {};
  if (::fstat(descriptor.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw bad_input("{}: not a regular file", path.string());
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return std::shared_ptr<const MappedFile>(new MappedFile(path, {}));
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (address == MAP_FAILED)
    throw failure("{}: cannot map: {}", path.string(), system_message(errno));
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, {static_cast<const std::byte*>(address), size}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::read_ahead(std::span<const std::byte> part) const {
  if (part.empty()) return;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_WILLNEED);
}

void MappedFile::drop_pages(std::span<const std::byte> part) const {
  if (part.empty()) return;
  // Neighbours on the first and last page are dropped too and read again if they are in use: what
  // is smaller than a page would otherwise keep it, and with it all of a large page of the cache.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(part.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(part.data() + part.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
}

FileWriter::FileWriter(std::filesystem::path path)
    : path_(std::move(path)), part_path_(path_.string() + ".part") {
  descriptor_ = ::open(part_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw failure("{}: cannot create: {}", part_path_.string(), disk_message(errno));
  }
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(part_path_.c_str());
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw failure("{}: cannot write: {}", path_.string(), disk_message(errno));
    const auto count = static_cast<std::size_t>(written);
    digest_.add(bytes.first(count));
    bytes = bytes.subspan(count);
  }
}

std::string FileWriter::commit() {
  if (::fsync(descriptor_) != 0) {
    throw failure("{}: cannot write: {}", path_.string(), disk_message(errno));
  }
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0 || ::rename(part_path_.c_str(), path_.c_str()) != 0) {
    const std::string reason = disk_message(errno);
    ::unlink(part_path_.c_str());
    throw failure("{}: cannot write: {}", path_.string(), reason);
  }
  return digest_.text();
}

std::string write_file(const std::filesystem::path& path, std::string_view text) {
  FileWriter writer(path);
  writer.write(text);
  return writer.commit();
}

void sync_directory(const std::filesystem::path& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0) {
    throw failure("{}: cannot make the directory durable: {}", path.string(), disk_message(errno));
  }
}

}  // namespace terse
