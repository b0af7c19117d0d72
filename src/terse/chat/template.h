// A template in the language of Hugging Face's chat templates: the part of Jinja that they use,
// with the settings that they are written for. docs/chat-templates.md says what that is.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "terse/chat/template_heap.h"
#include "terse/chat/template_json.h"

namespace terse::chat {

struct Statement;

class Template {
 public:
  /// Errors: bad_input "line N: what is wrong"; also for a text above 1 MiB.
  static Template parse(std::string_view source);

  /// `variables` is an object. strftime_now tells `now`. Several threads may render at once.
  /// Errors: bad_input "line N: what is wrong", or with raise_exception the template's own message.
  std::string render(const OrderedJson& variables, const std::tm& now,
                     TemplateLimits limits = {}) const;

 private:
  std::shared_ptr<const std::vector<Statement>> body_;
};

}  // namespace terse::chat
