#include "terse/core/version.h"

namespace terse {

std::string_view version() {
  return TERSE_VERSION;
}

}  // namespace terse
