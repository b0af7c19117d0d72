#!/usr/bin/env python3
"""SVD-LLM of one weight with its second moments, beside PyTorch, in one run.

The rival follows the published code (Cholesky factor of the second moments, its inverse, singular
value decomposition of the whitened weight) on the same weight, moments and threads; both without
the update of the outer factor. They run in alternation. Prints the median ratio of seconds with its spread, and the error of the output that
each leaves.

    bench/svd_llm.py [--sizes 4096] [--ratio 0.8] [--program PROGRAM]

Needs PyTorch and numpy.
"""
import argparse
import time

import torch

from gptq_solver import gemm_rate, make_problem, print_pairs, relative_error, run_pairs


def published(weight, sums, ratio):
    rows, columns = weight.shape
    start = time.perf_counter()
    root = torch.linalg.cholesky(sums)
    inverse = torch.linalg.inv(root)
    left, values, right = torch.linalg.svd(weight @ root, full_matrices=False)
    rank = int(rows * columns * ratio / (rows + columns)) // 8 * 8
    scale = torch.sqrt(values[:rank])
    b = left[:, :rank] * scale
    a = scale[:, None] * (right[:rank] @ inverse)
    return time.perf_counter() - start, b, a


def compare(arguments, size, rate):
    weight, inputs = make_problem(size, 2 * size)
    sums = inputs.t() @ inputs
    rival_dense = None

    def rival():
        nonlocal rival_dense
        seconds, b, a = published(weight, sums, arguments.ratio)
        rival_dense = b @ a
        return seconds

    options = f"ratio={arguments.ratio},update=false"
    pairs, dense = run_pairs(arguments, "svd_llm", options, weight, inputs, rival)
    print(f"{size}x{size}, {options}, {len(pairs)} pairs:")
    # Two products, a tridiagonal form and back.
    print_pairs(pairs, (2 + 1 + 4 / 3 + 2) * size**3, rate)
    for name, matrix in (("PyTorch", rival_dense), ("ours", dense)):
        print(f"  {name}: relative output error {relative_error(weight, matrix, sums):.6e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bench/bench/gptq_solver_bench")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096])
    parser.add_argument("--ratio", type=float, default=0.8)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    rate = gemm_rate()
    for size in arguments.sizes:
        compare(arguments, size, rate)


if __name__ == "__main__":
    main()
