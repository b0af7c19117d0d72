// How real numbers are stored. Files compiled for one instruction set include this; see
// kernel_table.h for what that forbids.
#pragma once

namespace terse::kernels {

enum class Storage { f32, bf16, f16 };
inline constexpr int kStorageKinds = 3;

}  // namespace terse::kernels
