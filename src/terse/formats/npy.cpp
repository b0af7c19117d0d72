#include "terse/formats/npy.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "terse/core/error.h"
#include "terse/core/file.h"

namespace terse {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};
// NumPy's own reader refuses longer headers too.
constexpr std::size_t kMaximumHeader = 10'000;

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

// The header is the text of a Python dictionary with three keys: this reads just that much of
// Python.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  NpyHeader parse() {
    NpyHeader header;
    int found = 0;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = quoted();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        throw bad_input("the header has the unknown key '{}'", key);
      }
      ++found;
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    if (!rest_.empty() || found != 3) throw malformed();
    return header;
  }

 private:
  static Error malformed() {
    return bad_input("the header is not a dictionary of descr, fortran_order and shape");
  }

  void skip_space() {
    const std::size_t end = rest_.find_first_not_of(" \n");
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
  }

  bool accept(char symbol) {
    skip_space();
    if (!rest_.starts_with(symbol)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char symbol) {
    if (!accept(symbol)) throw malformed();
  }

  std::string quoted() {
    skip_space();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) throw malformed();
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) throw malformed();
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true},
                                      std::pair<std::string_view, bool>{"False", false}}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    throw malformed();
  }

  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      std::int64_t size = 0;
      skip_space();
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0) throw malformed();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      shape.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view rest_;
};

std::size_t read_little(std::span<const std::byte> bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | std::to_integer<std::size_t>(bytes[i]);
  }
  return value;
}

// The text of the header; `file` is left at the data.
std::string_view take_header(std::span<const std::byte>& file) {
  const std::size_t fixed = kMagic.size() + 2;
  if (file.size() < fixed || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0) {
    throw bad_input("not a .npy file: it does not begin with its magic bytes");
  }
  const int version = std::to_integer<int>(file[kMagic.size()]);
  if (version < 1 || version > 3) throw bad_input(".npy version {} is not supported", version);
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  if (file.size() < fixed + length_bytes) throw bad_input("the file is truncated in its header");
  const std::size_t length = read_little(file.subspan(fixed, length_bytes));
  file = file.subspan(fixed + length_bytes);
  if (length > kMaximumHeader || length > file.size()) {
    throw bad_input("the header has {} bytes: more than the file, or than the limit of {}", length,
                    kMaximumHeader);
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()), length);
  file = file.subspan(length);
  return text;
}

template <class T>
std::int32_t checked_id(T value, std::size_t position) {
  if (std::cmp_less(value, 0) || std::cmp_greater(value, INT32_MAX)) {
    throw bad_input("element {} is {}: not a token id", position, value);
  }
  return static_cast<std::int32_t>(value);
}

template <class T>
std::vector<std::int32_t> read_ids(std::span<const std::byte> data) {
  std::vector<std::int32_t> ids(data.size() / sizeof(T));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    T value;
    std::memcpy(&value, data.data() + i * sizeof(T), sizeof(T));
    // Promoted, so that one byte is printed as a number.
    ids[i] = checked_id(+value, i);
  }
  return ids;
}

struct IntegerType {
  std::string_view descr;
  std::size_t size;
  std::vector<std::int32_t> (*read)(std::span<const std::byte>);
};

const IntegerType& integer_type(std::string_view descr) {
  static constexpr IntegerType kTypes[] = {
      {"|u1", 1, read_ids<std::uint8_t>},  {"|i1", 1, read_ids<std::int8_t>},
      {"<u2", 2, read_ids<std::uint16_t>}, {"<i2", 2, read_ids<std::int16_t>},
      {"<u4", 4, read_ids<std::uint32_t>}, {"<i4", 4, read_ids<std::int32_t>},
      {"<u8", 8, read_ids<std::uint64_t>}, {"<i8", 8, read_ids<std::int64_t>},
  };
  for (const IntegerType& type : kTypes) {
    if (type.descr == descr) return type;
  }
  throw bad_input("dtype '{}' is not supported; expected little-endian integers such as '<i4'",
                  descr);
}

bool is_row(const Json& json) {
  return json.is_array() && (json.empty() || !json[0].is_array());
}

void append_row(const Json& row, TokenArray& tokens) {
  for (const Json& value : row) {
    if (!value.is_number_integer()) {
      throw bad_input("element {}: expected a token id, found {}", tokens.ids.size(),
                      value.type_name());
    }
    tokens.ids.push_back(value.is_number_unsigned()
                             ? checked_id(value.get<std::uint64_t>(), tokens.ids.size())
                             : checked_id(value.get<std::int64_t>(), tokens.ids.size()));
  }
}

}  // namespace

TokenArray parse_npy(std::span<const std::byte> file) {
  NpyHeader header = HeaderParser(take_header(file)).parse();
  const IntegerType& type = integer_type(header.descr);
  if (header.shape.empty() || header.shape.size() > 2) {
    throw bad_input("shape {}: expected one or two dimensions", shape_text(header.shape));
  }
  if (header.fortran_order && header.shape.size() == 2) {
    throw bad_input("the array is in Fortran order; save it in C order");
  }
  const auto elements = static_cast<std::uint64_t>(element_count(header.shape));
  if (file.size() % type.size != 0 || file.size() / type.size != elements) {
    throw bad_input("shape {} of '{}' does not fit the {} bytes of data", shape_text(header.shape),
                    header.descr, file.size());
  }
  return {std::move(header.shape), type.read(file)};
}

TokenArray parse_token_json(const Json& json) {
  TokenArray tokens;
  if (is_row(json)) {
    append_row(json, tokens);
    tokens.shape = {static_cast<std::int64_t>(tokens.ids.size())};
    return tokens;
  }
  if (!json.is_array()) throw bad_input("expected an array of ids, found {}", json.type_name());
  for (const Json& row : json) {
    if (!is_row(row) || row.size() != json[0].size()) {
      throw bad_input("expected rows of ids that are all of one length");
    }
    append_row(row, tokens);
  }
  tokens.shape = {static_cast<std::int64_t>(json.size()),
                  static_cast<std::int64_t>(json[0].size())};
  return tokens;
}

TokenArray read_token_ids(const std::filesystem::path& path, std::int64_t vocab_size) {
  TokenArray tokens = read_token_ids(path);
  for (const std::int32_t id : tokens.ids) {
    if (id < vocab_size) continue;
    throw bad_input("{}: token id {} is outside the vocabulary of {}", path.string(), id,
                    vocab_size);
  }
  return tokens;
}

TokenArray read_token_ids(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".json") {
    const Json json = read_json(path);
    return with_context(path.string(), [&] { return parse_token_json(json); });
  }
  if (extension != ".npy") {
    throw bad_input("{}: expected a file of token ids that ends in .npy or .json", path.string());
  }
  const auto file = MappedFile::open(path);
  return with_context(path.string(), [&] { return parse_npy(file->bytes()); });
}

}  // namespace terse
