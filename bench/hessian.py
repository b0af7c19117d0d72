#!/usr/bin/env python3
"""Second moments by our rank-k update beside PyTorch's full product, in one run, in alternation.

    bench/hessian.py [--program build/bench/bench/hessian_bench]

Prints the median ratio of seconds with its spread. Needs PyTorch.
"""
import argparse
import os
import statistics
import subprocess
import time

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bench/bench/hessian_bench")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--columns", type=int, default=2048)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    x = torch.rand(arguments.tokens, arguments.columns) - 0.5
    ours = subprocess.Popen(
        [arguments.program, str(arguments.tokens), str(arguments.columns),
         str(arguments.pairs + 1)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=dict(os.environ, OMP_NUM_THREADS=str(arguments.threads)))
    pairs = []
    for _ in range(arguments.pairs + 1):
        start = time.perf_counter()
        x.t() @ x
        rival = time.perf_counter() - start
        print("go", file=ours.stdin, flush=True)
        pairs.append((rival, float(ours.stdout.readline())))
    ours.wait()
    pairs = pairs[1:]  # the first pair warms up
    ratios = [rival / own for rival, own in pairs]
    print(f"{arguments.columns} inputs, {arguments.tokens} tokens, {len(pairs)} pairs:")
    print(f"  product of PyTorch {statistics.median(rival for rival, _ in pairs):.3f} s, "
          f"ours {statistics.median(own for _, own in pairs):.3f} s")
    print(f"  ratio median {statistics.median(ratios):.2f}, "
          f"{min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
