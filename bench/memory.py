#!/usr/bin/env python3
"""Memory that compressing a synthetic checkpoint of width 2048 takes, by depth, beside its plan.

Promises: the peak of private memory depends on the blocks, not on how many there are (8 and 32
differ by less than 5 %); no run exceeds the bound that `terse plan` prints; a checkpoint four times
larger than --memory compresses within the bound planned for that. GPTQ, 4 bits, group 128, or the
rotations of SliceGPT, calibrated on random token ids. The deepest model also runs with a quarter of
its bytes as --memory, and on text that the model generates itself, which needs all of the model at
once. Every run is held to its bound, plus the address space that BLAS reserves and does not touch
(the plan says how much), by `ulimit -d`, which counts private writable memory whether touched or
not; exits with 1 when a run needs more, or when what it touches exceeds the bound itself.

    bench/memory.py [--method gptq] [--blocks 8 32] [--windows 4] [--vocabulary 4096]

The vocabulary is small so that the blocks are what counts. Needs numpy and, for 32 blocks, 5 GB of
disk.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy

from synthetic_checkpoint import llama_config, write_checkpoint

RECIPES = {
    "gptq": ["--method", "gptq", "--bits", "4", "--group-size", "128"],
    "slicegpt": ["--method", "slicegpt", "--ratio", "0.3"],
}


def plan(arguments, model, options):
    command = [arguments.terse, "plan", model, *RECIPES[arguments.method], *options, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def spilled_bytes(process):
    """Bytes on disk of the activation file, which has no name: it is seen as an open file only."""
    files = pathlib.Path(f"/proc/{process}/fd")
    total = 0
    for file in files.iterdir():
        if "/activations." in os.readlink(file):
            total += 512 * file.stat().st_blocks
    return total


def compress(arguments, limit, model, output, options):
    """The report of a run that may not take more private memory than the bound (none when it needed
    more), and the bytes of activations that it had on disk at most."""
    command = ["bash", "-c", f'ulimit -d {limit // 1024}; exec "$@"', "bash", arguments.terse,
               "compress", model, "-o", output, "--force", *RECIPES[arguments.method], *options,
               "--json"]
    spilled = 0
    with tempfile.TemporaryFile() as report:
        with subprocess.Popen(command, stdout=report) as process:
            while process.poll() is None:
                try:
                    spilled = max(spilled, spilled_bytes(process.pid))
                except OSError:  # the file or the process went while it was looked at
                    pass
                time.sleep(0.05)
        report.seek(0)
        return json.load(report) if process.returncode == 0 else None, spilled


def run(arguments, model, output, label, options):
    """Plans and runs, prints a row, and returns the peak of private memory, if it kept to its
    bound."""
    planned = plan(arguments, model, options)
    bound, expected, reserved = (planned["memory"][f"{name}_bytes"]
                                 for name in ("bound", "peak", "reserved"))
    report, spilled = compress(arguments, bound + reserved, model, output, options)
    if report is None or report["peak_memory_bytes"] > bound:
        print(f"{label}: FAILED within {bound / 1e6:.0f} MB", flush=True)
        return None
    peak = report["peak_memory_bytes"]
    print(f"{label}, {report['calibration_tokens']} tokens ({report['calibration_source']}): "
          f"private {peak / 1e6:.0f} MB (planned {expected / 1e6:.0f} MB, "
          f"{expected / peak - 1:+.1%}; bound {bound / 1e6:.0f} MB), "
          f"spilled {spilled / 1e6:.0f} MB, mapped {report['peak_mapped_bytes'] / 1e6:.0f} MB, "
          f"{report['seconds']:.0f} s", flush=True)
    return peak


def measure(arguments, directory, blocks):
    """The peak of the plain run, and those of the others if this is the deepest model."""
    config = dict(llama_config("llama-1b", blocks), vocab_size=arguments.vocabulary)
    model, output, ids = (directory / name for name in (f"model-{blocks}", "output", "ids.npy"))
    dense = write_checkpoint(model, config)
    generator = numpy.random.default_rng(0)
    numpy.save(ids, generator.integers(0, config["vocab_size"], (arguments.windows, 2048),
                                       numpy.int32))
    tokens = ["--calibration-tokens", ids]
    label = f"{blocks:2d} blocks of {dense / 1e6:.0f} MB"
    peaks = [run(arguments, model, output, label, tokens)]
    if blocks == max(arguments.blocks):
        quarter = ["--memory", str(dense // 4)]
        generated = ["--calibration-samples", "8", "--calibration-window", "64"]
        peaks.append(run(arguments, model, output, f"{label}, --memory {dense / 4e6:.0f} MB",
                         [*tokens, *quarter]))
        peaks.append(run(arguments, model, output, label, generated))
    return peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--terse", default="build/release/terse")
    parser.add_argument("--method", choices=RECIPES, default="gptq")
    parser.add_argument("--blocks", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--windows", type=int, default=4, help="of 2048 tokens to calibrate on")
    parser.add_argument("--vocabulary", type=int, default=4096)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = [measure(arguments, pathlib.Path(directory), blocks) for blocks in arguments.blocks]
    peaks = [plain for plain, *_ in rows]
    if None not in peaks:
        print(f"largest peak over smallest: {max(peaks) / min(peaks) - 1:+.1%}")
    if any(None in row for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
