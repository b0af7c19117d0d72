#!/usr/bin/env python3
"""What Wanda adds to the bare forward pass of its calibration tokens, on blocks of the llama-1b
shape with random weights.

The bench program walks the same model with the same tokens in three ways, in alternation: the bare
forward pass, with Wanda, and with all that `terse compress` does in memory besides (report, stored
layout). Prints the median ratios of seconds to the bare pass, less one, with their spreads, the
seconds that a block takes longer, and the ratio of the fastest rounds, which other work on the
machine disturbs least. Most of these are work on the weights, whatever the number of
tokens, so the share falls with them: the paper calibrates on 262,144.

    bench/wanda_overhead.py [--program build/bench/bench/wanda_overhead_bench] [--windows 4 32]

Needs numpy.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile

from synthetic_checkpoint import llama_config, write_checkpoint

WAYS = ("bare forward pass", "with Wanda", "with report and layout")


def measure(arguments, model, windows):
    """Seconds of each way for each round; the first round warms up and is dropped."""
    command = [arguments.program, model, str(windows), str(arguments.window),
               str(arguments.pairs + 1)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))).stdout
    return [[float(seconds) for seconds in line.split()] for line in output.splitlines()][1:]


def print_rounds(arguments, windows, rounds):
    print(f"{arguments.shape}, {arguments.blocks} blocks, {windows * arguments.window} tokens, "
          f"{arguments.threads} threads, {len(rounds)} pairs:")
    bare = [each[0] for each in rounds]
    print(f"  {WAYS[0]:24s} median {statistics.median(bare):.3f} s")
    for way, seconds in list(zip(WAYS, zip(*rounds)))[1:]:
        shares = [own / forward - 1 for own, forward in zip(seconds, bare)]
        longer = statistics.median(own - forward for own, forward in zip(seconds, bare))
        fastest = min(seconds) / min(bare) - 1
        print(f"  {way:24s} median {statistics.median(seconds):.3f} s; "
              f"adds {statistics.median(shares):.1%}, {min(shares):.1%} to {max(shares):.1%}; "
              f"{longer / arguments.blocks:.3f} s a block; fastest to fastest {fastest:.1%}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="build/bench/bench/wanda_overhead_bench")
    parser.add_argument("--shape", default="llama-1b")
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--windows", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--window", type=int, default=2048, help="tokens of a window")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = pathlib.Path(directory) / "model"
        write_checkpoint(model, dict(llama_config(arguments.shape, arguments.blocks),
                                     vocab_size=4096))
        for windows in arguments.windows:
            print_rounds(arguments, windows, measure(arguments, model, windows))


if __name__ == "__main__":
    main()
