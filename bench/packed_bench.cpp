// Products with packed integer weights: one row beside reading the same memory, many rows beside
// oneDNN's integer product of the same shape (which has one scale for everything: no groups).
// `ratio` is ours over the other in speed.
#include <dnnl.h>

#include <random>
#include <vector>

#include "beside.h"
#include "terse/kernels/packed_integers.h"

namespace terse {
namespace {

using namespace bench;  // NOLINT(google-build-using-namespace)
using kernels::InputGrid;
using kernels::PackedIntegers;

PackedIntegers random_weight(std::int64_t n, std::int64_t k, int bits, std::int64_t group) {
  std::mt19937 generator(2);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(n * k));
  for (auto& code : codes) code = static_cast<std::uint8_t>(generator() >> (32 - bits));
  const std::vector<float> scales(static_cast<std::size_t>(n * k / group), 0.0078125F);
  return PackedIntegers::pack({.bits = bits,
                               .rows = n,
                               .columns = k,
                               .groups = k / group,
                               .codes = CodeRows::of_bytes(codes.data(), k),
                               .scales = scales.data(),
                               .group_stride = k / group,
                               .scale_dtype = DType::bf16});
}

/// Bits, group, threads. Weights of half a gigabyte in turn, as decoding reads them.
void one_row_beside_reading(benchmark::State& state) {
  constexpr std::int64_t kN = 5632;
  constexpr std::int64_t kK = 2048;
  const Threads threads(state.range(2));
  std::vector<PackedIntegers> weights;
  weights.push_back(random_weight(kN, kK, static_cast<int>(state.range(0)), state.range(1)));
  while (weights.size() * weights[0].bytes() < std::size_t{1} << 29) weights.push_back(weights[0]);
  const Floats x = random_floats(kK, 1);
  Floats y(kN);
  beside(
      state, 1e-9 * static_cast<double>(weights.size() * weights[0].bytes()), "GB/s",
      [&] {
        for (const auto& w : weights) {
          kernels::multiply_rounded(x.data(), kK, 1, w, InputGrid::block, 0, y.data(), kN);
        }
      },
      "read",
      [&] {
        for (const auto& w : weights) read_all(w.block(0, 0), w.bytes());
      });
}

/// Bits, threads. Codes of a quarter of a gigabyte as a checkpoint has them; memory for what is
/// packed comes anew from the system each time, as it does when a model is loaded.
void packing_beside_reading(benchmark::State& state) {
  constexpr std::int64_t kK = 8192;
  constexpr std::int64_t kGroup = 32;
  const auto bits = state.range(0);
  const std::int64_t row_bytes = kK * bits / 8;
  const std::int64_t n = (std::int64_t{1} << 28) / row_bytes;
  const Threads threads(state.range(1));
  const std::vector<std::byte> stored(static_cast<std::size_t>(n * row_bytes), std::byte{0x5a});
  const std::vector<float> scales(static_cast<std::size_t>(n * kK / kGroup), 0.0078125F);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(stored.data());
  CodeRows codes = CodeRows::of_bytes(bytes, kK);
  if (bits == 4) codes = {codes.row, stored.data(), row_bytes};
  beside(
      state, 1e-9 * static_cast<double>(stored.size()), "GB/s",
      [&] {
        benchmark::DoNotOptimize(PackedIntegers::pack({.bits = static_cast<int>(bits),
                                                       .rows = n,
                                                       .columns = kK,
                                                       .groups = kK / kGroup,
                                                       .codes = codes,
                                                       .scales = scales.data(),
                                                       .group_stride = kK / kGroup,
                                                       .scale_dtype = DType::bf16}));
      },
      "read", [&] { read_all(stored.data(), stored.size()); });
}

/// Bits, group, n, k.
void many_rows_beside_onednn(benchmark::State& state) {
  constexpr std::int64_t kRows = 512;
  const std::int64_t n = state.range(2);
  const std::int64_t k = state.range(3);
  const PackedIntegers w = random_weight(n, k, static_cast<int>(state.range(0)), state.range(1));
  const Floats x = random_floats(kRows * k, 1);
  Floats y(static_cast<std::size_t>(kRows * n));
  const std::vector<std::uint8_t> a(static_cast<std::size_t>(kRows * k), 3);
  const std::vector<std::int8_t> b(static_cast<std::size_t>(n * k), 5);
  std::vector<std::int32_t> c(static_cast<std::size_t>(kRows * n));
  const std::int32_t offset = 0;
  beside(
      state, 2e-9 * static_cast<double>(kRows * n * k), "GOP/s",
      [&] { kernels::multiply_rounded(x.data(), k, kRows, w, InputGrid::block, 0, y.data(), n); },
      "oneDNN",
      [&] {
        dnnl_gemm_u8s8s32('N', 'T', 'F', kRows, n, k, 1.0F, a.data(), k, 0, b.data(), k, 0, 0.0F,
                          c.data(), n, &offset);
      });
}

BENCHMARK(one_row_beside_reading)
    ->ArgNames({"bits", "group", "threads"})
    ->UseManualTime()
    ->ArgsProduct({{2, 3, 4, 8}, {32, 128}, {1, 2}});
BENCHMARK(packing_beside_reading)
    ->ArgNames({"bits", "threads"})
    ->UseManualTime()
    ->ArgsProduct({{4, 8}, {1, 2}});
BENCHMARK(many_rows_beside_onednn)
    ->ArgNames({"bits", "group", "n", "k"})
    ->UseManualTime()
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {5632}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {5632}});

}  // namespace
}  // namespace terse

BENCHMARK_MAIN();
