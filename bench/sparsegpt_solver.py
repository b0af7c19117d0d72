#!/usr/bin/env python3
"""Our SparseGPT solver beside the published one (IST-DASLab/sparsegpt, class SparseGPT) in one run.

Both get the same random weight and the same second moments; they run in alternation. Prints the
median ratio of seconds with its spread, the share of our time that the bound would take, and the
sparsity and error of the output that each leaves, on the same weight and moments.

    bench/sparsegpt_solver.py --sparsegpt DIR [--structure 2:4] [--bits 4] [--program PROGRAM]

DIR is a checkout of https://github.com/IST-DASLab/sparsegpt. Needs PyTorch and numpy. With --bits
both quantise what is left on asymmetric grids per row.
"""
import argparse
import contextlib
import io
import time

import torch

from gptq_solver import (gemm_rate, load_published, make_problem, print_pairs, relative_error,
                         run_pairs)


def published_seconds(module, weight, hessian, arguments):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    solver = module.SparseGPT(layer)
    if arguments.bits:
        solver.quantizer = module.Quantizer()
        solver.quantizer.configure(arguments.bits, perchannel=True, sym=False, mse=False)
    solver.H = hessian.clone()
    zeros, group = 0, 0
    if arguments.structure != "unstructured":
        zeros, group = map(int, arguments.structure.split(":"))
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        solver.fasterprune(arguments.sparsity, prunen=zeros, prunem=group, percdamp=0.01,
                           blocksize=128)
    return time.perf_counter() - start, layer.weight.data


def our_options(arguments):
    options = [f"structure={arguments.structure}"]
    if arguments.structure == "unstructured":
        options.append(f"sparsity={arguments.sparsity}")
    if arguments.bits:
        options.append(f"bits={arguments.bits}")
    return ",".join(options)


def compare(module, arguments, size, rate):
    weight, inputs = make_problem(size, 2 * size)
    hessian = 2 / inputs.shape[0] * (inputs.t() @ inputs)
    rival_dense = None

    def rival():
        nonlocal rival_dense
        seconds, rival_dense = published_seconds(module, weight, hessian, arguments)
        return seconds

    options = our_options(arguments)
    pairs, dense = run_pairs(arguments, "sparsegpt", options, weight, inputs, rival)
    print(f"{size}x{size}, {options}, {len(pairs)} pairs:")
    print_pairs(pairs, size**3 / 3 + size**3, rate)
    for name, matrix in (("published", rival_dense), ("ours", dense)):
        print(f"  {name}: sparsity {(matrix == 0).float().mean().item():.6f}, "
              f"relative output error {relative_error(weight, matrix, hessian):.6e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsegpt", required=True, help="checkout of IST-DASLab/sparsegpt")
    parser.add_argument("--program", default="build/bench/bench/gptq_solver_bench")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048])
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--structure", default="unstructured")
    parser.add_argument("--bits", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    module = load_published(arguments.sparsegpt, "sparsegpt")
    rate = gemm_rate()
    for size in arguments.sizes:
        compare(module, arguments, size, rate)


if __name__ == "__main__":
    main()
