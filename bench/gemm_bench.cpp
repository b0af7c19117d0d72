// The float32 product beside OpenBLAS, and the product of one row beside reading the same memory.
// Every iteration runs both, one after the other, so that both see the same machine; `ratio` is
// ours over the other in speed. Results and commands: gemm.md.
#include <cblas.h>

#include <string>
#include <vector>

#include "beside.h"
#include "terse/core/tensor.h"
#include "terse/kernels/instruction_set.h"
#include "terse/kernels/panels.h"

namespace terse {
namespace {

using namespace bench;  // NOLINT(google-build-using-namespace)

/// Rows, n, k, threads.
void product_beside_openblas(benchmark::State& state, DType dtype) {
  const Threads threads(state.range(3));
  const std::int64_t rows = state.range(0);
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const Floats x = random_floats(rows * k, 1);
  const Floats w = random_floats(n * k, 2);
  Floats y(static_cast<std::size_t>(rows * n));
  const auto panels = kernels::Panels::pack(Tensor::from_floats(dtype, {n, k}, w));
  beside(
      state, 2e-9 * static_cast<double>(rows * n * k), "gflops",
      [&] { kernels::multiply(x.data(), k, rows, panels, y.data(), n); }, "openblas",
      [&] {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows),
                    static_cast<int>(n), static_cast<int>(k), 1.0F, x.data(), static_cast<int>(k),
                    w.data(), static_cast<int>(k), 0.0F, y.data(), static_cast<int>(n));
      });
}

/// Rows, n, k, threads. Weights of a gigabyte in turn, as decoding reads them.
void product_beside_reading(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const std::int64_t n = state.range(1);
  const std::int64_t k = state.range(2);
  const Threads threads(state.range(3));
  constexpr std::size_t kBytes = std::size_t{1} << 30;
  const Tensor tensor = Tensor::from_floats(dtype, {n, k}, random_floats(n * k, 2));
  std::vector<kernels::Panels> weights(kBytes / tensor.bytes().size());
  for (auto& w : weights) w = kernels::Panels::pack(tensor);
  const Floats x = random_floats(rows * k, 1);
  Floats y(static_cast<std::size_t>(rows * n));
  beside(
      state, 1e-9 * static_cast<double>(weights.size() * weights[0].bytes()), "GB/s",
      [&] {
        for (const auto& w : weights) kernels::multiply(x.data(), k, rows, w, y.data(), n);
      },
      "read",
      [&] {
        for (const auto& w : weights) read_all(w.panel(0), w.bytes());
      });
}

void large_products(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t threads : {1, 2}) {
    for (const std::int64_t rows : {64, 512, 2048}) {
      bench->Args({rows, 2048, 2048, threads});
      bench->Args({rows, 5632, 2048, threads});
      bench->Args({rows, 2048, 5632, threads});
    }
  }
  bench->ArgNames({"rows", "n", "k", "threads"})->UseManualTime();
}

void few_rows(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t threads : {1, 2}) {
    for (const std::int64_t rows : {1, 4, 12}) bench->Args({rows, 2048, 5632, threads});
  }
  bench->ArgNames({"rows", "n", "k", "threads"})->UseManualTime()->Iterations(2);
}

BENCHMARK_CAPTURE(product_beside_openblas, f32, DType::f32)->Apply(large_products);
BENCHMARK_CAPTURE(product_beside_openblas, bf16, DType::bf16)->Apply(large_products);
BENCHMARK_CAPTURE(product_beside_reading, f32, DType::f32)->Apply(few_rows);
BENCHMARK_CAPTURE(product_beside_reading, bf16, DType::bf16)->Apply(few_rows);
BENCHMARK_CAPTURE(product_beside_reading, f16, DType::f16)->Apply(few_rows);

}  // namespace
}  // namespace terse

int main(int argc, char** argv) {
  terse::check_blas();
  terse::flush_denormals();
  benchmark::AddCustomContext(
      "instruction_set",
      std::string(terse::kernels::instruction_set_name(terse::kernels::instruction_set())));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
