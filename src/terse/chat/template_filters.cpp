#include "terse/chat/template_filters.h"

#include "terse/core/error.h"

namespace terse::chat {

Value apply_filter(Runtime& runtime, std::string_view name, const Value& value,
                   const Arguments& arguments) {
  charge_for(runtime.heap, value);
  Filter filter = find_text_filter(name);
  if (filter == nullptr) filter = find_list_filter(name);
  if (filter == nullptr) throw bad_input("there is no filter '{}'", name);
  return filter(runtime, name, value, arguments);
}

}  // namespace terse::chat
