// Products with packed integer weights: one row beside reading the same memory, many rows beside
// oneDNN's integer product of the same shape (which has one scale for everything: no groups);
// sparse weights of 4 bits beside dense ones.
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

using Codes = std::vector<std::uint8_t>;

Codes random_codes(std::int64_t count, int bits) {
  std::mt19937 generator(2);
  Codes codes(static_cast<std::size_t>(count));
  for (auto& code : codes) code = static_cast<std::uint8_t>(generator() >> (32 - bits));
  return codes;
}

PackedIntegers packed(const Codes& codes, std::int64_t n, std::int64_t k, int bits,
                      std::int64_t group, bool sparse) {
  const std::vector<float> scales(static_cast<std::size_t>(n * k / group), 0.0078125F);
  return PackedIntegers::pack({.bits = bits,
                               .rows = n,
                               .columns = k,
                               .groups = k / group,
                               .codes = CodeRows::of_bytes(codes.data(), k),
                               .scales = scales.data(),
                               .group_stride = k / group,
                               .scale_dtype = DType::bf16,
                               .sparse = sparse});
}

PackedIntegers random_weight(std::int64_t n, std::int64_t k, int bits, std::int64_t group) {
  return packed(random_codes(n * k, bits), n, k, bits, group, false);
}

/// Of 4 bits, with so many zeros at random; 0: two of each four.
PackedIntegers sparse_weight(std::int64_t n, std::int64_t k, std::int64_t group,
                             std::int64_t percent) {
  constexpr std::uint8_t kZero = 8;
  std::mt19937 generator(3);
  Codes codes = random_codes(n * k, 4);
  for (std::size_t i = 0; i < codes.size(); i += 4) {
    const std::size_t first = generator() % 4;
    const std::size_t second = (first + 1 + generator() % 3) % 4;
    for (std::size_t j = 0; j < 4; ++j) {
      if (codes[i + j] == kZero) ++codes[i + j];
      const bool paired = j == first || j == second;
      if (percent == 0 ? !paired : static_cast<std::int64_t>(generator() % 100) < percent)
        codes[i + j] = kZero;
    }
  }
  return packed(codes, n, k, 4, group, true);
}

constexpr std::int64_t kN = 5632;
constexpr std::int64_t kK = 2048;

/// So many copies take half a gigabyte.
std::vector<PackedIntegers> copies_of(const PackedIntegers& weight) {
  return std::vector<PackedIntegers>((std::size_t{1} << 29) / weight.bytes() + 1, weight);
}

void multiply_each(const std::vector<PackedIntegers>& weights, const Floats& x, Floats& y) {
  for (const auto& w : weights) {
    kernels::multiply_rounded(x.data(), kK, 1, w, InputGrid::block, 0, y.data(), kN);
  }
}

/// Bits, group, threads. Weights of half a gigabyte in turn, as decoding reads them.
void one_row_beside_reading(benchmark::State& state) {
  const Threads threads(state.range(2));
  const auto weights =
      copies_of(random_weight(kN, kK, static_cast<int>(state.range(0)), state.range(1)));
  const Floats x = random_floats(kK, 1);
  Floats y(kN);
  beside(
      state, 1e-9 * static_cast<double>(weights.size() * weights[0].bytes()), "GB/s",
      [&] { multiply_each(weights, x, y); }, "read",
      [&] {
        for (const auto& w : weights) read_all(w.block(0, 0), w.bytes());
      });
}

/// Bits, threads. Codes of a quarter of a gigabyte as a checkpoint has them; memory for what is
/// packed comes anew from the system each time, as it does when a model is loaded.
void packing_beside_reading(benchmark::State& state) {
  constexpr std::int64_t kColumns = 8192;
  constexpr std::int64_t kGroup = 32;
  const auto bits = state.range(0);
  const std::int64_t row_bytes = kColumns * bits / 8;
  const std::int64_t n = (std::int64_t{1} << 28) / row_bytes;
  const Threads threads(state.range(1));
  const std::vector<std::byte> stored(static_cast<std::size_t>(n * row_bytes), std::byte{0x5a});
  const std::vector<float> scales(static_cast<std::size_t>(n * kColumns / kGroup), 0.0078125F);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(stored.data());
  CodeRows codes = CodeRows::of_bytes(bytes, kColumns);
  if (bits == 4) codes = {codes.row, stored.data(), row_bytes};
  beside(
      state, 1e-9 * static_cast<double>(stored.size()), "GB/s",
      [&] {
        benchmark::DoNotOptimize(PackedIntegers::pack({.bits = static_cast<int>(bits),
                                                       .rows = n,
                                                       .columns = kColumns,
                                                       .groups = kColumns / kGroup,
                                                       .codes = codes,
                                                       .scales = scales.data(),
                                                       .group_stride = kColumns / kGroup,
                                                       .scale_dtype = DType::bf16}));
      },
      "read", [&] { read_all(stored.data(), stored.size()); });
}

/// Percent of zeros (0: two of each four), group, threads. As many weights of each kind; work is
/// multiply-adds, also those with zeros.
void sparse_row_beside_dense(benchmark::State& state) {
  const Threads threads(state.range(2));
  const auto dense = copies_of(random_weight(kN, kK, 4, state.range(1)));
  const std::vector<PackedIntegers> sparse(dense.size(),
                                           sparse_weight(kN, kK, state.range(1), state.range(0)));
  const Floats x = random_floats(kK, 1);
  Floats y(kN);
  beside(
      state, 1e-9 * static_cast<double>(static_cast<std::int64_t>(dense.size()) * kN * kK),
      "sparse", [&] { multiply_each(sparse, x, y); }, "dense", [&] { multiply_each(dense, x, y); });
  state.counters["bytes"] =
      static_cast<double>(dense[0].bytes()) / static_cast<double>(sparse[0].bytes());
}

/// Percent of zeros as above, n, k: 512 rows.
void sparse_rows_beside_dense(benchmark::State& state) {
  constexpr std::int64_t kRows = 512;
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const PackedIntegers dense = random_weight(n, k, 4, 128);
  const PackedIntegers sparse = sparse_weight(n, k, 128, state.range(0));
  const Floats x = random_floats(kRows * k, 1);
  Floats y(static_cast<std::size_t>(kRows * n));
  const auto multiply = [&](const PackedIntegers& w) {
    kernels::multiply_rounded(x.data(), k, kRows, w, InputGrid::block, 0, y.data(), n);
  };
  beside(
      state, 2e-9 * static_cast<double>(kRows * n * k), "sparse", [&] { multiply(sparse); },
      "dense", [&] { multiply(dense); });
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
BENCHMARK(sparse_row_beside_dense)
    ->ArgNames({"zeros", "group", "threads"})
    ->UseManualTime()
    ->ArgsProduct({{0, 50, 60, 75, 90}, {32, 128}, {1, 2}});
BENCHMARK(sparse_rows_beside_dense)
    ->ArgNames({"zeros", "n", "k"})
    ->UseManualTime()
    ->ArgsProduct({{0, 50, 75}, {5632}, {2048}});
BENCHMARK(many_rows_beside_onednn)
    ->ArgNames({"bits", "group", "n", "k"})
    ->UseManualTime()
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {5632}, {2048}})
    ->ArgsProduct({{4, 8}, {32, 128}, {2048}, {5632}});

}  // namespace
}  // namespace terse

BENCHMARK_MAIN();
