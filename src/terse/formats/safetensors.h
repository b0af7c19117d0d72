// Reading and writing safetensors (https://github.com/huggingface/safetensors, "Format").
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "terse/core/file.h"
#include "terse/core/tensor.h"

namespace terse {

using SafetensorsMetadata = std::map<std::string, std::string>;

/// What the header says of one tensor.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::uint64_t begin = 0;  ///< First byte, counted from the end of the header.
  std::uint64_t end = 0;    ///< One past the last byte.
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  ///< In the order of the header.
  SafetensorsMetadata metadata;
  std::size_t data_begin = 0;  ///< Offset of the data in the file.
};

/// Parses the header of a whole file held in memory and checks it against the file's size.
/// Errors: bad_input for everything that the format forbids: a header over 100 MB or past the end
/// of the file, repeated keys, unknown dtypes, shapes that do not match their bytes, and ranges
/// that leave the file, overlap or leave gaps. Nothing larger than the header is allocated.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file);

/// A safetensors file mapped for reading.
class SafetensorsFile {
 public:
  /// Errors: bad_input, naming the file.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_->path(); }
  const SafetensorsMetadata& metadata() const { return header_.metadata; }

  /// The header as it lies in the file, its length included.
  std::span<const std::byte> header_bytes() const {
    return file_->bytes().first(header_.data_begin);
  }

  /// Every tensor in the order of the header.
  const std::vector<SafetensorsEntry>& entries() const { return header_.tensors; }
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// A view of the mapped bytes, which live as long as any tensor of the file. They need not be
  /// aligned for the type. Errors: bad_input, naming the file and the tensor.
  Tensor tensor(std::string_view name) const;

  /// Has the system read a tensor soon.
  void read_ahead(std::string_view name) const;

  /// Gives the pages of a tensor back to the system; they are read again when touched.
  void drop_pages(std::string_view name) const;

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, SafetensorsHeader header);

  const SafetensorsEntry* find(std::string_view name) const;
  const SafetensorsEntry& require(std::string_view name) const;
  std::span<const std::byte> bytes_of(const SafetensorsEntry& entry) const;

  std::shared_ptr<const MappedFile> file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> index_;
};

/// Writes a file. The header lists the tensors in the order of `add`. Their bytes lie by falling
/// element size and then in that order, so that each is aligned for its type, as some readers need.
class SafetensorsWriter {
 public:
  explicit SafetensorsWriter(std::filesystem::path path, SafetensorsMetadata metadata = {});

  /// Keeps the tensor, not a copy of its bytes: a mapped one takes no memory meanwhile. `written`
  /// is called by `commit` when its bytes are not needed any more. Errors: failed when the name was
  /// added before.
  void add(const std::string& name, const Tensor& tensor, std::function<void()> written = {});

  /// The same of a tensor that is made when it is written and then let go of: one at a time is in
  /// memory. Errors of `commit`: those of `make`, and failed where it makes another type or shape.
  void add(const std::string& name, DType dtype, Shape shape, std::function<Tensor()> make,
           std::function<void()> written = {});

  /// Bytes of all tensors so far.
  std::uint64_t data_bytes() const { return data_bytes_; }

  /// Writes `<path>.part`, makes it durable and gives it its name; returns the digest of its bytes.
  /// Errors: failed.
  std::string commit();

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    std::function<Tensor()> make;
    std::function<void()> written;
    std::uint64_t bytes = 0;
    std::uint64_t begin = 0;  ///< Counted from the end of the header; set by `lay_out`.
  };

  std::vector<std::size_t> lay_out();
  std::string header_text() const;
  Tensor made(const Entry& entry) const;

  std::filesystem::path path_;
  SafetensorsMetadata metadata_;
  std::vector<Entry> entries_;
  std::set<std::string> names_;
  std::uint64_t data_bytes_ = 0;
};

/// Writes tensors to a file as SafetensorsWriter does; returns the digest of its bytes.
std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<NamedTensor>& tensors,
                              SafetensorsMetadata metadata = {});

}  // namespace terse
