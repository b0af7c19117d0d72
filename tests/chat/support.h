// Rendering at the time that tests/oracle/chat_templates.py was told: 26 July 2024, 13:05:09.
#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "terse/chat/template.h"

namespace terse::test {

inline std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 26;
  time.tm_hour = 13;
  time.tm_min = 5;
  time.tm_sec = 9;
  time.tm_wday = 5;
  time.tm_yday = 207;
  return time;
}

inline std::string render(std::string_view text,
                          const OrderedJson& variables = OrderedJson::object(),
                          chat::TemplateLimits limits = {}) {
  return chat::Template::parse(text).render(variables, fixed_time(), limits);
}

}  // namespace terse::test
