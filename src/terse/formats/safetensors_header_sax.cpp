#include "terse/formats/safetensors_header_sax.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>

#include "terse/core/error.h"
#include "terse/core/json.h"
#include "terse/formats/safetensors.h"

namespace terse {
namespace {

constexpr std::size_t kMaximumDimensions = 64;

// A state machine over the events of the parser. It knows where it is by `place_`, refuses every
// event that the format has no room for, and therefore never nests deeper than three levels.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(SafetensorsHeader& header) : header_(header) {}

  bool null() override { throw unexpected("null"); }
  bool boolean(bool /*value*/) override { throw unexpected("a boolean"); }
  bool number_float(double /*value*/, const std::string& text) override { throw unexpected(text); }
  bool binary(binary_t& /*value*/) override { throw unexpected("binary data"); }

  bool number_integer(std::int64_t value) override {
    if (value < 0) throw unexpected(fmt::format("the negative number {}", value));
    return number_unsigned(static_cast<std::uint64_t>(value));
  }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ == Place::shape) {
      add_dimension(value);
    } else if (place_ == Place::offsets) {
      add_offset(value);
    } else {
      throw unexpected(std::to_string(value));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[key_] = std::move(value);
    } else if (place_ == Place::tensor && key_ == "dtype") {
      set_dtype(value);
    } else {
      throw unexpected(fmt::format("the text '{}'", value));
    }
    return true;
  }

  bool key(std::string& name) override {
    key_ = std::move(name);
    if (place_ == Place::top) {
      if (!names_.insert(key_).second) throw bad_input("the header repeats the key '{}'", key_);
    } else if (place_ == Place::metadata) {
      if (header_.metadata.contains(key_)) throw bad_input("__metadata__ repeats '{}'", key_);
    } else {
      begin_field();
    }
    return true;
  }

  bool start_object(std::size_t /*elements*/) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
    } else if (place_ == Place::top && key_ == "__metadata__") {
      place_ = Place::metadata;
    } else if (place_ == Place::top) {
      place_ = Place::tensor;
      seen_ = {};
      header_.tensors.emplace_back().name = key_;
    } else {
      throw unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor &&
        !(seen_.dtype && seen_.shape && seen_.offsets && offsets_ == 2)) {
      throw bad_input("tensor {}: needs dtype, shape and two data_offsets", entry().name);
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t /*elements*/) override {
    if (place_ != Place::tensor || key_ == "dtype") throw unexpected("an array");
    place_ = key_ == "shape" ? Place::shape : Place::offsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    throw bad_input("the header is not valid JSON at byte {}", position);
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets };
  struct Seen {
    bool dtype = false;
    bool shape = false;
    bool offsets = false;
  };

  SafetensorsEntry& entry() { return header_.tensors.back(); }

  Error unexpected(std::string_view found) {
    switch (place_) {
      case Place::outside:
        return bad_input("the header is not a JSON object");
      case Place::top:
        return bad_input("key '{}': expected an object, found {}", key_, found);
      case Place::metadata:
        return bad_input("__metadata__ '{}': expected a string, found {}", key_, found);
      default:
        return bad_input("tensor {}: {} cannot hold {}", entry().name, key_, found);
    }
  }

  void begin_field() {
    bool* seen = key_ == "dtype"          ? &seen_.dtype
                 : key_ == "shape"        ? &seen_.shape
                 : key_ == "data_offsets" ? &seen_.offsets
                                          : nullptr;
    if (seen == nullptr) {
      throw bad_input("tensor {}: unknown key '{}'; expected dtype, shape and data_offsets",
                      entry().name, key_);
    }
    if (std::exchange(*seen, true)) throw bad_input("tensor {}: repeats {}", entry().name, key_);
    if (seen == &seen_.offsets) offsets_ = 0;
  }

  void set_dtype(const std::string& name) {
    const std::optional<DType> dtype = parse_dtype(name);
    // The parser also knows PyTorch's names, which the format does not.
    if (!dtype || dtype_name(*dtype) != name) {
      throw bad_input("tensor {}: dtype '{}' is not supported", entry().name, name);
    }
    entry().dtype = *dtype;
  }

  void add_dimension(std::uint64_t value) {
    if (value > INT64_MAX || entry().shape.size() == kMaximumDimensions) {
      throw bad_input("tensor {}: shape has a dimension of {} or more than {} dimensions",
                      entry().name, value, kMaximumDimensions);
    }
    entry().shape.push_back(static_cast<std::int64_t>(value));
  }

  void add_offset(std::uint64_t value) {
    if (offsets_ == 2) throw bad_input("tensor {}: has more than two data_offsets", entry().name);
    (offsets_ == 0 ? entry().begin : entry().end) = value;
    ++offsets_;
  }

  SafetensorsHeader& header_;
  Place place_ = Place::outside;
  std::string key_;
  std::unordered_set<std::string> names_;
  Seen seen_;
  int offsets_ = 0;
};

}  // namespace

void read_safetensors_json(std::string_view text, SafetensorsHeader& header) {
  HeaderReader reader(header);
  Json::sax_parse(text.begin(), text.end(), &reader);
}

}  // namespace terse
