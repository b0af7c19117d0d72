#include "terse/chat/template.h"

#include "terse/chat/template_interpreter.h"
#include "terse/chat/template_parser.h"
#include "terse/core/error.h"

namespace terse::chat {

Template Template::parse(std::string_view source) {
  constexpr std::size_t kLongest = std::size_t{1} << 20U;
  if (source.size() > kLongest) throw bad_input("the template has more than {} bytes", kLongest);
  Template made;
  made.body_ = std::make_shared<const Body>(parse_template(source));
  return made;
}

std::string Template::render(const OrderedJson& variables, const std::tm& now,
                             TemplateLimits limits) const {
  return run_template(*body_, variables, now, limits);
}

}  // namespace terse::chat
