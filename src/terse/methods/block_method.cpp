#include "terse/methods/block_method.h"

#include <utility>

namespace terse {
namespace {

using Factories = std::map<std::string, BlockMethodFactory, std::less<>>;

Factories& factories() {
  static Factories all;
  return all;
}

}  // namespace

BlockMethodRegistration::BlockMethodRegistration(MethodInfo info, BlockMethodFactory factory)
    : BlockMethodRegistration(info.name, std::move(factory)) {
  MethodRegistry::instance().add(std::move(info));
}

BlockMethodRegistration::BlockMethodRegistration(std::string name, BlockMethodFactory factory) {
  factories()[std::move(name)] = std::move(factory);
}

std::unique_ptr<BlockMethod> make_block_method(std::string_view name, const MethodOptions& options,
                                               const MethodContext& context) {
  const auto found = factories().find(name);
  return found == factories().end() ? nullptr : found->second(options, context);
}

}  // namespace terse
