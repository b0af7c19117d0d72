// Values of the template language: those of Python that templates meet. All but namespaces are
// immutable, as in the sandbox that templates are written for, so values form no cycles.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "terse/chat/template_heap.h"

namespace terse::chat {

struct Text;
struct Sequence;
class Dict;
class Object;

/// What a name or key that is not there gives. `why` says what was looked for.
struct Undefined {
  std::shared_ptr<const Text> why;
};
struct None {};

class Value {
 public:
  enum class Kind { undefined, none, boolean, integer, real, string, sequence, dict, object };

  /// None.
  Value() : data_(None{}) {}
  explicit Value(Undefined undefined) : data_(std::move(undefined)) {}
  explicit Value(std::shared_ptr<const Text> text) : data_(std::move(text)) {}
  explicit Value(std::shared_ptr<const Sequence> sequence) : data_(std::move(sequence)) {}
  explicit Value(std::shared_ptr<const Dict> dict) : data_(std::move(dict)) {}
  explicit Value(std::shared_ptr<Object> object) : data_(std::move(object)) {}
  static Value boolean(bool value);
  static Value integer(std::int64_t value);
  static Value real(double value);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  /// True of booleans too, which are integers in Python.
  bool is_integer() const { return is(Kind::integer) || is(Kind::boolean); }
  bool is_number() const { return is_integer() || is(Kind::real); }
  bool is_string() const { return is(Kind::string); }

  /// Each asks for a value of its kind; `as_integer` takes booleans, `as_real` all numbers.
  const Undefined& undefined() const { return std::get<Undefined>(data_); }
  bool as_boolean() const { return std::get<bool>(data_); }
  std::int64_t as_integer() const;
  double as_real() const;
  const std::string& string() const;
  const Sequence& sequence() const;
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Object& object() const { return *std::get<std::shared_ptr<Object>>(data_); }

  /// What Python calls the type: "str", "list".
  std::string_view type() const;
  /// How deep this value's lists and dicts lie within each other.
  std::size_t nesting() const;
  /// Python's `is`: the same small value, or the same place in memory.
  bool same_as(const Value& other) const;

 private:
  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      data_;
};

using Values = std::vector<Value>;

struct Text {
  std::string text;
  Allocation allocation;
};

/// Everything that holds values in a row. An iterator gives each of them once.
struct Sequence {
  enum class Form { list, tuple, range, keys, values, items, iterator };
  Form form;
  Values items;
  std::size_t nesting;
  Allocation allocation;
  mutable std::size_t given = 0;  // of an iterator

  /// Lists, tuples and ranges; views of dicts and iterators have no places.
  bool has_places() const {
    return form == Form::list || form == Form::tuple || form == Form::range;
  }
};

/// Keys in the order in which they came.
class Dict {
 public:
  struct Entry {
    Value key;
    Value value;
  };

  explicit Dict(Heap& heap) : heap_(heap), allocation_(heap, 64) {}

  /// Keys are strings, numbers, booleans and none. Errors: bad_input for others, and for too deep a
  /// value.
  void set(Value key, Value value);
  /// Null when it is not there. Errors: bad_input for lists and dicts, which cannot be keys.
  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const { return entries_; }
  std::size_t nesting() const { return nesting_; }

 private:
  Heap& heap_;
  Allocation allocation_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> places_;
  std::size_t nesting_ = 1;
};

struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// What one rendering has at hand.
struct Runtime {
  Heap heap;
  std::tm now;
  /// Namespaces may hold each other: they live until the rendering ends, which empties them.
  std::vector<std::shared_ptr<Object>> namespaces;

  Runtime(TemplateLimits limits, const std::tm& time) : heap(limits), now(time) {}
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
};

/// Namespaces, functions, macros, methods of a value and the `loop` of a for statement.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type() const = 0;
  virtual std::size_t nesting() const { return 0; }
  virtual std::optional<Value> attribute(Runtime&, std::string_view) { return std::nullopt; }
  virtual bool is_callable() const { return false; }
  /// Errors: bad_input when it cannot be called.
  virtual Value call(Runtime& runtime, const Arguments& arguments);
  /// Lets go of what it holds; only namespaces hold what was made after them.
  virtual void clear() {}
};

/// Charges what reading a whole value once costs: all that is done with a value that may be a long
/// text begins so. Errors: as Heap::work.
void charge_for(Heap& heap, const Value& value);

/// Values charged to the heap. Errors: bad_input when it is full or they lie too deep.
Value make_string(Heap& heap, std::string text);
Value make_string(BoundedText& text);
Value make_sequence(Heap& heap, Values items, Sequence::Form form = Sequence::Form::list);
Value make_dict(Dict dict);
Value make_undefined(Heap& heap, std::string why);
/// A string of the syntax tree, charged to nobody.
Value make_literal(std::string text);

/// The deepest of the values' nesting and one more. Errors: bad_input above kMaximumNesting.
std::size_t nesting_around(const Values& items);

}  // namespace terse::chat
