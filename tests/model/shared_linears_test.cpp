// Linears that have their weights from others: held once, read back, and refused where they lie.
#include "terse/model/shared_linears.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/family_variants.h"
#include "support/temporary_directory.h"
#include "terse/formats/checkpoint_writer.h"
#include "terse/model/weights/shared.h"

namespace terse {
namespace {

constexpr LinearRole kDown = LinearRole::down_proj;

class SharedLinears : public testing::Test {
 protected:
  SharedLinears() {
    test::write_checkpoint(test::family_variant("llama"), directory_ / "in", "F32");
  }

  // The second block's down_proj is the first one's; `edit` may lie about it.
  void write(std::int64_t rank, const std::function<void(Json& group)>& edit = {}) const {
    const Checkpoint shared = share_linears(Model::open(directory_ / "in"), {{1, kDown, 0, rank}});
    CheckpointWriter writer(directory_ / "out", {.force = true});
    for (const std::string& name : shared.names()) writer.add(name, shared.tensor(name));
    Json config = shared.config();
    if (edit) edit(config["terse_config"]["groups"][0]);
    writer.finish(config);
  }

  test::TemporaryDirectory directory_;
};

TEST_F(SharedLinears, AreHeldOnce) {
  write(0);
  Model model = Model::load(directory_ / "out");
  const auto& shared = dynamic_cast<const Shared&>(*model.block(1).linears.at(kDown).weight);
  EXPECT_EQ(shared.base(), model.block(0).linears.at(kDown).weight);
  EXPECT_TRUE(model.shares(1, kDown));
  EXPECT_FALSE(model.shares(0, kDown));
  EXPECT_FALSE(model.shares(1, LinearRole::up_proj));
  EXPECT_EQ(model.weight_owner(model.linear_module(1, kDown)), model.linear_module(0, kDown));
  model.unload_block(0);
  model.load_block(0);
  EXPECT_EQ(shared.base(), model.block(0).linears.at(kDown).weight);
}

TEST_F(SharedLinears, AreStoredAsTheirDifferences) {
  write(3);
  const Model model = Model::load(directory_ / "out");
  const Linear& linear = model.block(1).linears.at(kDown);
  EXPECT_EQ(linear.weight->kind(), "shared + rank 3");
  for (const NamedTensor& named : linear.weight->tensors(linear.module)) {
    EXPECT_TRUE(model.checkpoint().contains(named.name)) << named.name;
  }
  EXPECT_EQ(linear.weight->config(), shared_storage(model.linear_module(0, kDown), 3));
}

TEST_F(SharedLinears, RefuseWhatLies) {
  const auto refused = [&](const std::string& says, const std::function<void(Json&)>& edit) {
    write(3, edit);
    test::expect_error(ErrorKind::bad_input, says, [&] { Model::load(directory_ / "out"); });
  };
  const std::string own = "model.layers.1.mlp.down_proj";
  refused("has none of its own", [&](Json& group) { group["module"] = own; });
  refused("", [](Json& group) { group["module"] = "model.layers.7.mlp.down_proj"; });
  refused("does not fit", [](Json& group) { group["module"] = "model.layers.0.mlp.up_proj"; });
  refused("module", [](Json& group) { group.erase("module"); });
  refused("module", [](Json& group) { group["module"] = 5; });
  for (const Json& rank : {Json(-1), Json(4), Json("3"), Json(std::int64_t{1} << 62)}) {
    refused("", [&](Json& group) { group["rank"] = rank; });
  }
}

}  // namespace
}  // namespace terse
