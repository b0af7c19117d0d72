// Times the second moments of inputs against the full product that published code computes.
//
//   hessian_bench TOKENS COLUMNS REPEATS
//
// For every line read from standard input, accumulates the moments of the same random inputs and
// prints the seconds, so that the caller can alternate with a rival.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "terse/core/random.h"
#include "terse/core/threads.h"
#include "terse/methods/second_moments.h"

namespace {

int run(const std::vector<std::string>& arguments) {
  terse::Matrix inputs(std::stoll(arguments.at(0)), std::stoll(arguments.at(1)));
  terse::Random random(1);
  for (std::int64_t i = 0; i < inputs.size(); ++i) {
    inputs.data()[i] = static_cast<float>(random.uniform() - 0.5);
  }
  std::string line;
  for (int repeat = 0; repeat < std::stoi(arguments.at(2)); ++repeat) {
    std::getline(std::cin, line);
    const auto start = std::chrono::steady_clock::now();
    terse::SecondMoments moments(inputs.cols());
    moments.add(inputs);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << seconds.count() << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    terse::check_blas();
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
