#include "terse/formats/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "terse/core/error.h"
#include "terse/core/json.h"
#include "terse/formats/safetensors_header_sax.h"
#include "terse/formats/safetensors_header_text.h"

namespace terse {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaximumHeader = 100'000'000;

std::uint64_t read_length(std::span<const std::byte> file) {
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  }
  return length;
}

// The text of the header, once its length is known to be sane.
std::string_view header_bytes(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    throw bad_input("not a safetensors file: {} bytes are too few for the header's length",
                    file.size());
  }
  const std::uint64_t length = read_length(file);
  if (length > kMaximumHeader) {
    throw bad_input(
        "not a safetensors file, or a damaged one: it declares a header of {} bytes, over the "
        "limit of {}",
        length, kMaximumHeader);
  }
  if (length > file.size() - kLengthBytes) {
    throw bad_input("the file is truncated: the header has {} bytes, the file only {}", length,
                    file.size());
  }
  const auto* text = reinterpret_cast<const char*>(file.data()) + kLengthBytes;
  if (length == 0 || *text != '{') throw bad_input("the header does not begin with '{{'");
  return {text, static_cast<std::size_t>(length)};
}

void check_size(const SafetensorsEntry& entry) {
  std::int64_t bytes = 0;
  const std::int64_t elements = with_context(fmt::format("tensor {}", entry.name),
                                             [&] { return element_count(entry.shape); });
  if (__builtin_mul_overflow(elements, static_cast<std::int64_t>(dtype_size(entry.dtype)),
                             &bytes) ||
      entry.end < entry.begin || entry.end - entry.begin != static_cast<std::uint64_t>(bytes)) {
    throw bad_input("tensor {}: data_offsets [{}, {}] do not hold {} of shape {}", entry.name,
                    entry.begin, entry.end, dtype_name(entry.dtype), shape_text(entry.shape));
  }
}

// Ranges must cover the data from its first to its last byte, each byte once.
void check_coverage(const std::vector<SafetensorsEntry>& tensors, std::uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> sorted(tensors.size());
  std::ranges::transform(tensors, sorted.begin(), [](const auto& entry) { return &entry; });
  std::ranges::sort(sorted, {},
                    [](const auto* entry) { return std::pair(entry->begin, entry->end); });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry* entry : sorted) {
    if (entry->begin != covered) {
      throw bad_input("tensor {}: begins at byte {} of the data, where {} is expected ({})",
                      entry->name, entry->begin, covered,
                      entry->begin < covered ? "tensors overlap" : "a gap");
    }
    covered = entry->end;
    if (covered > data_bytes) {
      throw bad_input(
          "tensor {}: ends at byte {} of the data, but the file has only {}; it is truncated or "
          "damaged",
          entry->name, covered, data_bytes);
    }
  }
  if (covered != data_bytes) {
    throw bad_input("{} bytes follow the last tensor", data_bytes - covered);
  }
}

std::string length_bytes(std::size_t length) {
  std::string bytes;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    bytes += static_cast<char>(length >> (8 * i) & 0xffU);
  }
  return bytes;
}

}  // namespace

std::string safetensors_header_text(const std::vector<SafetensorsEntry>& tensors,
                                    const SafetensorsMetadata& metadata) {
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"__metadata__\":{}", Json(metadata).dump());
  for (const SafetensorsEntry& tensor : tensors) {
    text +=
        fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                    text.size() > 1 ? "," : "", Json(tensor.name).dump(), dtype_name(tensor.dtype),
                    fmt::join(tensor.shape, ","), tensor.begin, tensor.end);
  }
  text += "}";
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');
  return length_bytes(text.size()) + text;
}

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file) {
  const std::string_view text = header_bytes(file);
  SafetensorsHeader header;
  header.data_begin = kLengthBytes + text.size();
  read_safetensors_json(text, header);
  for (const SafetensorsEntry& entry : header.tensors) check_size(entry);
  check_coverage(header.tensors, file.size() - header.data_begin);
  return header;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  return with_context(path.string(), [&] {
    SafetensorsHeader header = parse_safetensors_header(file->bytes());
    return SafetensorsFile(std::move(file), std::move(header));
  });
}

SafetensorsFile::SafetensorsFile(std::shared_ptr<const MappedFile> file, SafetensorsHeader header)
    : file_(std::move(file)), header_(std::move(header)) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) index_[header_.tensors[i].name] = i;
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : header_.tensors) names.push_back(entry.name);
  return names;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

const SafetensorsEntry& SafetensorsFile::require(std::string_view name) const {
  if (const SafetensorsEntry* entry = find(name)) return *entry;
  throw bad_input("{}: holds no tensor {}", path().string(), name);
}

std::span<const std::byte> SafetensorsFile::bytes_of(const SafetensorsEntry& entry) const {
  return file_->bytes().subspan(header_.data_begin + entry.begin, entry.end - entry.begin);
}

Tensor SafetensorsFile::tensor(std::string_view name) const {
  const SafetensorsEntry& entry = require(name);
  return {entry.dtype, entry.shape, bytes_of(entry), file_};
}

void SafetensorsFile::read_ahead(std::string_view name) const {
  file_->read_ahead(bytes_of(require(name)));
}

void SafetensorsFile::drop_pages(std::string_view name) const {
  file_->drop_pages(bytes_of(require(name)));
}

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, SafetensorsMetadata metadata)
    : path_(std::move(path)), metadata_(std::move(metadata)) {}

void SafetensorsWriter::add(const std::string& name, const Tensor& tensor,
                            std::function<void()> written) {
  add(
      name, tensor.dtype(), tensor.shape(), [tensor] { return tensor; }, std::move(written));
}

void SafetensorsWriter::add(const std::string& name, DType dtype, Shape shape,
                            std::function<Tensor()> make, std::function<void()> written) {
  if (name == "__metadata__" || !names_.insert(name).second) {
    throw failure("{}: tensor {} cannot be written: its name is taken", path_.string(), name);
  }
  const auto elements = static_cast<std::uint64_t>(element_count(shape));
  const std::uint64_t bytes = elements * dtype_size(dtype);
  data_bytes_ += bytes;
  entries_.push_back({name, dtype, std::move(shape), std::move(make), std::move(written), bytes});
}

// Sets where every tensor begins and returns the order of their bytes.
std::vector<std::size_t> SafetensorsWriter::lay_out() {
  std::vector<std::size_t> order(entries_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(),
                           [&](std::size_t index) { return dtype_size(entries_[index].dtype); });
  std::uint64_t begin = 0;
  for (const std::size_t index : order) {
    entries_[index].begin = begin;
    begin += entries_[index].bytes;
  }
  return order;
}

std::string SafetensorsWriter::header_text() const {
  std::vector<SafetensorsEntry> tensors;
  for (const Entry& entry : entries_) {
    tensors.push_back(
        {entry.name, entry.dtype, entry.shape, entry.begin, entry.begin + entry.bytes});
  }
  return safetensors_header_text(tensors, metadata_);
}

std::string SafetensorsWriter::commit() {
  const std::vector<std::size_t> order = lay_out();
  const std::string header = header_text();
  if (header.size() > kLengthBytes + kMaximumHeader) {
    throw failure("{}: {} tensors need a header over 100 MB; write more shards", path_.string(),
                  entries_.size());
  }
  FileWriter writer(path_);
  writer.write(header);
  for (const std::size_t index : order) {
    writer.write(made(entries_[index]).bytes());
    if (entries_[index].written) entries_[index].written();
  }
  return writer.commit();
}

Tensor SafetensorsWriter::made(const Entry& entry) const {
  Tensor tensor = entry.make();
  if (tensor.dtype() == entry.dtype && tensor.shape() == entry.shape) return tensor;
  throw failure("{}: tensor {} came out as {} {}, not {} {}", path_.string(), entry.name,
                dtype_name(tensor.dtype()), shape_text(tensor.shape()), dtype_name(entry.dtype),
                shape_text(entry.shape));
}

std::string write_safetensors(const std::filesystem::path& path,
                              const std::vector<NamedTensor>& tensors,
                              SafetensorsMetadata metadata) {
  SafetensorsWriter writer(path, std::move(metadata));
  for (const NamedTensor& named : tensors) writer.add(named.name, named.tensor);
  return writer.commit();
}

}  // namespace terse
