#!/usr/bin/env python3
"""Our GPTQ solver beside the published one (IST-DASLab/gptq, class GPTQ) in one run.

Both get the same random weight and the same second moments; they run in alternation. Prints the
median ratio of seconds with its spread, the share of our time that the bound would take, and the
error of the output that each leaves, on the same weight and moments.

    bench/gptq_solver.py --gptq DIR [--program build/bench/bench/gptq_solver_bench]

DIR is a checkout of https://github.com/IST-DASLab/gptq. Needs PyTorch and numpy.
"""
import argparse
import contextlib
import importlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types

import numpy
import torch


def load_published(directory, name):
    """A module of published code, on a processor without CUDA and without transformers."""
    transformers = types.ModuleType("transformers")
    transformers.Conv1D = type("Conv1D", (torch.nn.Module,), {})
    sys.modules["transformers"] = transformers
    torch.cuda.synchronize = lambda *_: None
    sys.path.insert(0, directory)
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(name)


def make_problem(size, tokens):
    """A weight and inputs whose neighbours are correlated and whose sizes differ."""
    generator = torch.Generator().manual_seed(size)
    weight = 0.02 * torch.randn(size, size, generator=generator)
    inputs = torch.randn(tokens, size, generator=generator)
    inputs[:, 1:] += 0.7 * inputs[:, :-1].clone()
    inputs *= 0.2 + 2 * torch.rand(size, generator=generator)
    return weight, inputs


def published_seconds(module, weight, hessian, bits, group_size):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    solver = module.GPTQ(layer)
    solver.quantizer = module.Quantizer()
    solver.quantizer.configure(bits, perchannel=True, sym=False, mse=False)
    solver.H = hessian.clone()
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        solver.fasterquant(percdamp=0.01, groupsize=group_size)
    return time.perf_counter() - start, layer.weight.data


def relative_error(weight, dense, hessian):
    def form(matrix):
        return torch.sum((matrix @ hessian).double() * matrix.double()).item()

    return form(weight - dense) / form(weight)


def gemm_rate():
    """Single-precision GEMM of the machine in GFLOP/s: the best of a few products of 4096."""
    a = torch.randn(4096, 4096)
    best = 0.0
    for _ in range(4):
        start = time.perf_counter()
        a @ a
        best = max(best, 2 * 4096**3 / (time.perf_counter() - start) / 1e9)
    return best


def run_pairs(arguments, method, options, weight, inputs, rival):
    """Seconds of the rival and of ours, in alternation, and our dense result. The first pair warms
    up and is dropped."""
    size = weight.shape[1]
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ("weight", "inputs", "result")]
        weight.numpy().tofile(paths[0])
        inputs.numpy().tofile(paths[1])
        command = [arguments.program, str(size), method, options, str(arguments.pairs + 1), *paths]
        environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))
        ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                env=environment)
        pairs = []
        for _ in range(arguments.pairs + 1):
            seconds = rival()
            print("go", file=ours.stdin, flush=True)
            pairs.append((seconds, float(ours.stdout.readline())))
        ours.wait()
        dense = torch.from_numpy(numpy.fromfile(paths[2], dtype=numpy.float32).reshape(-1, size))
    return pairs[1:], dense


def print_pairs(pairs, flops, rate):
    ratios = [rival / own for rival, own in pairs]
    own = statistics.median(own for _, own in pairs)
    print(f"  published  median {statistics.median(rival for rival, _ in pairs):.3f} s")
    print(f"  ours       median {own:.3f} s; {flops / own / 1e9:.0f} GFLOP/s, "
          f"{flops / own / 1e9 / rate:.0%} of the bound at {rate:.0f} GFLOP/s")
    print(f"  ratio      median {statistics.median(ratios):.1f}, "
          f"{min(ratios):.1f} to {max(ratios):.1f}")


def compare(module, arguments, size, rate):
    bits, group_size = arguments.bits, arguments.group_size
    weight, inputs = make_problem(size, 2 * size)
    hessian = 2 / inputs.shape[0] * (inputs.t() @ inputs)
    rival_dense = None

    def rival():
        nonlocal rival_dense
        seconds, rival_dense = published_seconds(module, weight, hessian, bits, group_size)
        return seconds

    pairs, dense = run_pairs(arguments, "gptq", f"bits={bits},group_size={group_size}", weight,
                             inputs, rival)
    print(f"{size}x{size}, {bits} bits, group {group_size}, {len(pairs)} pairs:")
    print_pairs(pairs, size**3 / 3 + size**3, rate)
    print(f"  relative output error: published {relative_error(weight, rival_dense, hessian):.6e}, "
          f"ours {relative_error(weight, dense, hessian):.6e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gptq", required=True, help="checkout of IST-DASLab/gptq")
    parser.add_argument("--program", default="build/bench/bench/gptq_solver_bench")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2048, 4096])
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    module = load_published(arguments.gptq, "gptq")
    rate = gemm_rate()
    for size in arguments.sizes:
        compare(module, arguments, size, rate)


if __name__ == "__main__":
    main()
