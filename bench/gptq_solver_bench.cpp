// Times a method on one weight and second moments given as raw float32 files.
//
//   gptq_solver_bench N METHOD OPTIONS REPEATS WEIGHT INPUTS RESULT
//
// OPTIONS are those of the method, as bits=4,group_size=128. WEIGHT [N, N] and INPUTS [tokens, N]
// are read; prints the seconds of each repeat on one line of its own as soon as a line is read from
// standard input, so that the caller can alternate with a rival, and writes the dense compressed
// weight to RESULT at the end.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "terse/core/threads.h"
#include "terse/methods/method.h"

namespace {

terse::Matrix read_matrix(const std::string& path, std::int64_t columns) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("cannot read " + path);
  const auto bytes = static_cast<std::int64_t>(file.tellg());
  terse::Matrix matrix(bytes / 4 / columns, columns);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(matrix.data()), matrix.size() * 4);
  return matrix;
}

std::map<std::string, std::string> parse_options(const std::string& text) {
  std::map<std::string, std::string> options;
  std::istringstream pairs(text);
  for (std::string pair; std::getline(pairs, pair, ',');) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) throw std::runtime_error("no option=value: " + pair);
    options[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return options;
}

int run(const std::vector<std::string>& arguments) {
  const std::int64_t n = std::stoll(arguments.at(0));
  const terse::Matrix weight = read_matrix(arguments.at(4), n);
  terse::InputStatistics inputs(n, {.second_moments = true});
  inputs.add(read_matrix(arguments.at(5), n));
  const std::string& name = arguments.at(1);
  const terse::MethodOptions options(terse::MethodRegistry::instance().find(name),
                                     parse_options(arguments.at(2)));
  const auto method = terse::make_linear_method(name, options, {});
  terse::Matrix dense;
  std::string line;
  for (int repeat = 0; repeat < std::stoi(arguments.at(3)); ++repeat) {
    std::getline(std::cin, line);
    terse::LinearProblem problem{"layer", weight, &inputs};
    const auto start = std::chrono::steady_clock::now();
    const terse::LinearResult result = method->compress(std::move(problem));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << seconds.count() << std::endl;
    dense = terse::dense_weight(result);
  }
  std::ofstream(arguments.at(6), std::ios::binary)
      .write(reinterpret_cast<const char*>(dense.data()), dense.size() * 4);
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
