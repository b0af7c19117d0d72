#!/usr/bin/env python3
"""A randomised range finder beside svd_llm, which decomposes the Gram matrix, in one run.

The range finder (Halko, Martinsson and Tropp 2011, algorithm 4.4) works on the same Gram matrix
W C W^T, in float32 with PyTorch's products, which are those of the same BLAS: random directions,
more than are asked for, multiplied by the matrix and made orthonormal (Cholesky, in float64) until
what their best projection loses is within a thousandth of the least there is; then the
decomposition of the small projected matrix. Only the iterations that this takes are timed; that it
is enough is found out before, and untimed. Prints for each ratio the seconds of both, the median
ratio with its spread, and what each loses.

    bench/range_finder.py [--size 4096] [--ratios 0.8 0.6 0.4 0.2] [--program PROGRAM]

Needs PyTorch and numpy.
"""
import argparse
import math
import time

import torch

from gptq_solver import gemm_rate, make_problem, relative_error, run_pairs

TOLERANCE = 1e-3


def orthonormal(directions):
    exact = directions.double()
    root = torch.linalg.cholesky(exact.t() @ exact)
    return torch.linalg.solve_triangular(root, exact.t(), upper=False).t().float()


def projected(gram, basis, rank):
    small = basis.t() @ (gram @ basis)
    values, vectors = torch.linalg.eigh((small + small.t()) / 2)
    return values[-rank:], basis @ vectors[:, -rank:]


def start(gram, columns):
    generator = torch.Generator().manual_seed(1)
    directions = torch.randn(gram.shape[0], columns, generator=generator)
    return orthonormal(gram @ directions)


def iterations_needed(gram, least, rank, columns, most=12):
    """Iterations until the norm of what is lost is within the tolerance; None: not in `most`."""
    basis = start(gram, columns)
    for count in range(1, most + 1):
        values, _ = projected(gram, basis, rank)
        lost = gram.double().trace().item() - values.double().sum().item()
        if math.sqrt(max(lost, 0) / least) < 1 + TOLERANCE:
            return count
        basis = orthonormal(gram @ basis)
    return None


def range_finder(weight, sums, rank, columns, iterations):
    begin = time.perf_counter()
    gram = (weight @ sums) @ weight.t()
    basis = start(gram, columns)
    for _ in range(iterations - 1):
        basis = orthonormal(gram @ basis)
    _, vectors = projected(gram, basis, rank)
    a = vectors.t() @ weight
    return time.perf_counter() - begin, vectors @ a


def compare(arguments, ratio):
    size = arguments.size
    weight, inputs = make_problem(size, 2 * size)
    sums = inputs.t() @ inputs
    gram = (weight @ sums) @ weight.t()
    rank = int(ratio * size / 2) // 8 * 8
    spectrum = torch.linalg.eigvalsh(gram.double())
    least = spectrum[:-rank].sum().item()
    columns = min(size, rank + size // 6)
    iterations = iterations_needed(gram, least, rank, columns)
    if iterations is None:
        print(f"ratio {ratio}: not within {TOLERANCE} after 12 iterations")
        return
    dense = None

    def finder():
        nonlocal dense
        seconds, dense = range_finder(weight, sums, rank, columns, iterations)
        return seconds

    options = f"ratio={ratio},update=false"
    pairs, own = run_pairs(arguments, "svd_llm", options, weight, inputs, finder)
    ratios = sorted(finder / own for finder, own in pairs)
    middle = sorted(pairs)[len(pairs) // 2]
    print(f"ratio {ratio}, rank {rank}, {columns} directions, {iterations} iterations: "
          f"range finder {middle[0]:.2f} s, svd_llm {middle[1]:.2f} s, "
          f"ratio median {ratios[len(ratios) // 2]:.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}; "
          f"lost {relative_error(weight, dense, sums):.6e} and "
          f"{relative_error(weight, own, sums):.6e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bench/bench/gptq_solver_bench")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.8, 0.6, 0.4, 0.2])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    print(f"product of 4096: {gemm_rate():.0f} GFLOP/s")
    for ratio in arguments.ratios:
        compare(arguments, ratio)


if __name__ == "__main__":
    main()
