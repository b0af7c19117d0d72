// A checkpoint of one weight, for tests of storage kinds: what is saved reads back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>

#include "support/temporary_directory.h"
#include "terse/core/file.h"
#include "terse/formats/safetensors.h"
#include "terse/model/storage_config.h"
#include "terse/model/weight.h"

namespace terse::test {

/// Weights [24, 32] of the linear `m`.
class StoredWeight : public ::testing::Test {
 protected:
  /// Writes the checkpoint, its tensors and config changed before.
  void save(const Weight& weight, const std::function<void(NamedTensor&)>& spoil = {},
            const std::function<void(Json&)>& spoil_config = {}) {
    std::filesystem::create_directories(directory_ / "model");
    SafetensorsWriter writer(directory_ / "model" / "model.safetensors");
    for (NamedTensor tensor : weight.tensors("m")) {
      if (spoil) spoil(tensor);
      writer.add(tensor.name, tensor.tensor);
    }
    writer.commit();
    Json config = Json::object();
    add_storage_config(config, {{"m", "Linear", weight.config()}}, {{"m"}, "e", "h", false, {}});
    if (spoil_config) spoil_config(config);
    write_file(directory_ / "model" / "config.json", config.dump());
  }

  std::unique_ptr<Weight> load() const {
    const Checkpoint checkpoint = Checkpoint::open(directory_ / "model");
    return WeightLoader(checkpoint).load({checkpoint, "m", "Linear", {24, 32}, false});
  }

  /// Saves and loads a weight: the same kind, values, config and bytes.
  void expect_read_back(const Weight& weight, const std::string& kind) {
    save(weight);
    const auto read = load();
    EXPECT_EQ(weight.kind(), kind);
    EXPECT_EQ(read->kind(), kind);
    EXPECT_EQ(read->dense(), weight.dense());
    EXPECT_EQ(read->config(), weight.config());
    const Checkpoint checkpoint = Checkpoint::open(directory_ / "model");
    EXPECT_EQ(WeightLoader(checkpoint).kind({checkpoint, "m", "Linear", {24, 32}, false}), kind);
    const auto before = weight.tensors("m");
    const auto after = read->tensors("m");
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i].name, after[i].name);
      EXPECT_TRUE(std::ranges::equal(before[i].tensor.bytes(), after[i].tensor.bytes()));
    }
  }

  TemporaryDirectory directory_;
};

}  // namespace terse::test
