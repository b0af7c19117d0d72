#!/usr/bin/env python3
"""Memory that compressing a synthetic checkpoint of width 2048 takes, by depth.

Promise: at most the dense bytes on disk plus 1 GiB of private memory for 24 blocks, and mapped
pages that do not grow with depth. GPTQ, 4 bits, group 128, calibrated on random token ids and, for
the deepest, on text that the model generates itself, which needs all of the model at once. Every
run is held to the bound by `ulimit -d` (private writable memory), so it fails if it needs more.

    bench/memory.py [--terse build/release/terse] [--blocks 8 24] [--windows 16]

Needs numpy and, for 24 blocks, 4 GB of disk.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy

from synthetic_checkpoint import llama_config, write_checkpoint

GIBIBYTE = 1 << 30


def compress(arguments, bound, model, output, calibration):
    """The report of a run that may not take more private memory than the bound."""
    command = ["bash", "-c", f'ulimit -d {bound // 1024}; exec "$@"', "bash", arguments.terse,
               "compress", model, "-o", output, "--force", "--method", "gptq", "--bits", "4",
               "--group-size", "128", "--json", *calibration]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def print_row(blocks, dense, report):
    print(f"{blocks:2d} blocks, {report['calibration_tokens']:6d} tokens "
          f"({report['calibration_source']}): dense {dense / 1e6:.0f} MB, "
          f"private {report['peak_memory_bytes'] / 1e6:.0f} MB "
          f"(bound {(dense + GIBIBYTE) / 1e6:.0f} MB), "
          f"mapped {report['peak_mapped_bytes'] / 1e6:.0f} MB, {report['seconds']:.0f} s",
          flush=True)


def measure(arguments, directory, blocks):
    config = llama_config("llama-1b", blocks)
    model, output, ids = (directory / name for name in (f"model-{blocks}", "output", "ids.npy"))
    dense = write_checkpoint(model, config)
    generator = numpy.random.default_rng(0)
    numpy.save(ids, generator.integers(0, config["vocab_size"], (arguments.windows, 2048),
                                       numpy.int32))
    calibrations = [["--calibration-tokens", ids]]
    if blocks == max(arguments.blocks):
        calibrations.append(["--calibration-samples", "8", "--calibration-window", "64"])
    for calibration in calibrations:
        print_row(blocks, dense,
                  compress(arguments, dense + GIBIBYTE, model, output, calibration))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--terse", default="build/release/terse")
    parser.add_argument("--blocks", type=int, nargs="+", default=[8, 24])
    parser.add_argument("--windows", type=int, default=16, help="of 2048 tokens to calibrate on")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for blocks in arguments.blocks:
            measure(arguments, pathlib.Path(directory), blocks)


if __name__ == "__main__":
    main()
