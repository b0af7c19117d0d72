#include "terse/recipe/activation_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {

// A nameless file with one place of the same size for each group: it vanishes with the process,
// however that ends.
class ActivationStore::File {
 public:
  File(const std::filesystem::path& directory, std::int64_t slot_values)
      : path_(directory / "activations"), slot_values_(slot_values) {
    std::string name = path_.string() + ".XXXXXX";
    descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (descriptor_ < 0) throw disk_error("create");
    ::unlink(name.c_str());
  }
  ~File() { ::close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Values [offset, offset + size of matrix) of a slot.
  void write(std::int64_t slot, std::int64_t offset, const Matrix& matrix) {
    auto bytes = std::as_bytes(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
    for (off_t at = position(slot, offset); !bytes.empty();) {
      const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw disk_error("write");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      at += count;
    }
  }

  Matrix read(std::int64_t slot, std::int64_t offset, const Shape& shape) const {
    Matrix matrix(shape[0], shape[1]);
    auto bytes =
        std::as_writable_bytes(std::span(matrix.data(), static_cast<std::size_t>(matrix.size())));
    for (off_t at = position(slot, offset); !bytes.empty();) {
      const ssize_t count = ::pread(descriptor_, bytes.data(), bytes.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count == 0) errno = EIO;  // what was written is gone
      if (count <= 0) throw disk_error("read");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      at += count;
    }
    return matrix;
  }

 private:
  off_t position(std::int64_t slot, std::int64_t offset) const {
    return static_cast<off_t>((slot * slot_values_ + offset) *
                              static_cast<std::int64_t>(sizeof(float)));
  }

  Error disk_error(std::string_view verb) const {
    return failure("{}: cannot {}: {}; with more --memory less of it is needed", path_.string(),
                   verb, disk_message(errno));
  }

  std::filesystem::path path_;
  std::int64_t slot_values_;
  int descriptor_ = -1;
};

ActivationStore::ActivationStore(std::int64_t groups, const ActivationStoreSettings& settings)
    : slots_(static_cast<std::size_t>(groups)) {
  const std::uint64_t group_bytes =
      static_cast<std::uint64_t>(settings.group_values) * sizeof(float);
  const std::uint64_t fitting =
      group_bytes == 0 ? ~std::uint64_t{0} : settings.memory / group_bytes;
  held_ = static_cast<std::int64_t>(std::min<std::uint64_t>(fitting, slots_.size()));
  if (held_ < groups) file_ = std::make_unique<File>(settings.directory, settings.group_values);
}

ActivationStore::~ActivationStore() = default;
ActivationStore::ActivationStore(ActivationStore&&) noexcept = default;
ActivationStore& ActivationStore::operator=(ActivationStore&&) noexcept = default;

Activations ActivationStore::take(std::int64_t group) {
  Slot& slot = slots_[static_cast<std::size_t>(group)];
  if (is_held(group)) return std::exchange(slot.held, {});
  Matrix residual = file_->read(group, 0, slot.residual);
  Matrix input = file_->read(group, residual.size(), slot.input);
  Matrix routes = file_->read(group, residual.size() + input.size(), slot.routes);
  return {std::move(residual), std::move(input), std::move(routes)};
}

void ActivationStore::put(std::int64_t group, Activations activations) {
  Slot& slot = slots_[static_cast<std::size_t>(group)];
  if (is_held(group)) {
    slot.held = std::move(activations);
    return;
  }
  slot.residual = {activations.residual.rows(), activations.residual.cols()};
  slot.input = {activations.input.rows(), activations.input.cols()};
  slot.routes = {activations.routes.rows(), activations.routes.cols()};
  const std::int64_t inputs = activations.residual.size();
  file_->write(group, 0, activations.residual);
  file_->write(group, inputs, activations.input);
  file_->write(group, inputs + activations.input.size(), activations.routes);
}

Matrix ActivationStore::residual(std::int64_t group) const {
  const Slot& slot = slots_[static_cast<std::size_t>(group)];
  return is_held(group) ? slot.held.residual : file_->read(group, 0, slot.residual);
}

std::int64_t ActivationStore::spilled() const {
  return static_cast<std::int64_t>(slots_.size()) - held_;
}

}  // namespace terse
