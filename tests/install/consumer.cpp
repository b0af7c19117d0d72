// A program of somebody else, built against the installed package.
#include <cstdio>

#include "terse/core/version.h"
#include "terse/model/inventory.h"

int main(int argc, char** argv) {
  const terse::Inventory inventory =
      terse::take_inventory(terse::Model::open(argc > 1 ? argv[1] : "."));
  std::printf("terse %s: %lld parameters\n", std::string(terse::version()).c_str(),
              static_cast<long long>(inventory.parameters));
  return inventory.parameters == 5770496 ? 0 : 1;
}
