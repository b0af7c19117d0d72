// What every method asks of the linear that it is handed.
#pragma once

#include <string>

#include "terse/methods/method.h"

namespace terse {

/// Errors: bad_input naming the linear when its weight is empty or a value is not finite.
void check_values(const LinearProblem& problem);

}  // namespace terse
