#!/usr/bin/env python3
"""What `terse plan` says beside what the run then takes: a Markdown table for docs/plan.md.

For each model and recipe: plans, runs the same recipe right after, and compares bytes of the
output's weights, the peak of private memory, and seconds. Wanted: memory within 15 %, time within
40 %. The models are docs-llama on its calibration tokens, and blocks of the llama-1b shape with
random weights on random tokens.

    bench/plan.py [--terse build/release/terse] [--blocks 4] [--windows 4]
        [--recipes w4-gptq sparse50-sparsegpt smooth-sparse50-w4]

Needs numpy and 2 GB of disk.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy

from synthetic_checkpoint import llama_config, write_checkpoint

COLUMNS = ("recipe", "model", "output planned", "measured", "memory planned", "measured", "off by",
           "time planned", "measured", "off by")


def terse(arguments, *words):
    command = [arguments.terse, *words, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def synthetic_model(arguments, directory):
    """A model directory and a file of token ids."""
    model, ids = directory / "model", directory / "ids.npy"
    config = llama_config("llama-1b", arguments.blocks)
    write_checkpoint(model, config)
    generator = numpy.random.default_rng(0)
    numpy.save(ids, generator.integers(0, config["vocab_size"], (arguments.windows, 2048),
                                       numpy.int32))
    return model, ids


def compare(arguments, directory, recipe, model, ids):
    """Pairs of planned and measured bytes of output, bytes of memory, and seconds."""
    options = ["--recipe", recipe, "--calibration-tokens", ids]
    planned = terse(arguments, "plan", model, *options, "--place", directory)
    measured = terse(arguments, "compress", model, *options, "-o", directory / "output", "--force")
    return ((planned["bytes"], measured["bytes"]),
            (planned["memory"]["peak_bytes"], measured["peak_memory_bytes"]),
            (planned["seconds"], measured["seconds"]))


def off_by(pair):
    planned, measured = pair
    return planned / measured - 1


def row(recipe, name, output, memory, seconds):
    megabytes = [f"{size / 1e6:.1f} MB" for size in (*output, *memory)]
    return (f"`{recipe}`", name, *megabytes, f"{off_by(memory):+.0%}",
            *(f"{second:.1f} s" for second in seconds), f"{off_by(seconds):+.0%}")


def print_row(cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--terse", default="build/release/terse")
    parser.add_argument("--recipes", nargs="+",
                        default=["w4-gptq", "sparse50-sparsegpt", "smooth-sparse50-w4"])
    parser.add_argument("--blocks", type=int, default=4, help="of the synthetic model")
    parser.add_argument("--windows", type=int, default=4, help="of 2048 tokens, for it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        docs_llama = ("docs-llama", "models/docs-llama",
                      "tests/oracle/docs-llama/calibration_ids.npy")
        synthetic = (f"llama-1b shape, {arguments.blocks} blocks",
                     *synthetic_model(arguments, directory))
        print_row(COLUMNS)
        print_row(["---"] * len(COLUMNS))
        memory_off, time_off = [], []
        for label, model, ids in (docs_llama, synthetic):
            for recipe in arguments.recipes:
                output, memory, seconds = compare(arguments, directory, recipe, model, ids)
                print_row(row(recipe, label, output, memory, seconds))
                memory_off.append(abs(off_by(memory)))
                time_off.append(abs(off_by(seconds)))
    print(f"\nlargest deviation: memory {max(memory_off):.0%} (wanted 15 %), "
          f"time {max(time_off):.0%} (wanted 40 %)")


if __name__ == "__main__":
    main()
