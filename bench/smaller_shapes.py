#!/usr/bin/env python3
"""Smaller shapes of docs-llama: the table of docs/smaller-shapes.md.

Every method at 20 and 40 % fewer parameters in the blocks, with the calibration of tests/oracle,
beside random removal (ten draws) and plain magnitude; then the same models after some minutes of
distillation each. Scores are on the test text of tests/oracle; differences between methods are
paired by token, with windows as units.

    bench/smaller_shapes.py --work DIR [--only NAME ...] [--distill MINUTES]

Finished runs are kept in DIR and not done again. Prints tables in Markdown.
"""
import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "tests/oracle/docs-llama"
DRAWS = range(10)

# Name: steps by the share that goes (20 and 40 %).
UNIFORM = "- {{method: {name}, ratio: {ratio}{more}}}\n"


def units(name, more=""):
    return lambda ratio: UNIFORM.format(name=name, ratio=ratio, more=more)


CANDIDATES = {
    "magnitude_sp": units("magnitude_sp"),
    "magnitude_sp, least squares": units("magnitude_sp", ", compensation: least_squares"),
    "wanda_sp, no compensation": units("wanda_sp", ", compensation: none"),
    "wanda_sp": units("wanda_sp"),
    "flap": units("flap"),
    "flap, affine": units("flap", ", compensation: affine"),
    "shortgpt": units("shortgpt"),
    "angular": units("angular"),
    "block_pruner": units("block_pruner"),
    "svd": lambda ratio: f"- {{method: svd, ratio: {1 - ratio:g}}}\n",
    "asvd": lambda ratio: f"- {{method: asvd, ratio: {1 - ratio:g}}}\n",
    "svd_llm": lambda ratio: f"- {{method: svd_llm, ratio: {1 - ratio:g}}}\n",
}
for draw in DRAWS:
    CANDIDATES[f"random_sp {draw}"] = units("random_sp", f", draw: {draw}")


def blocks_of(draw, ratio, count=6):
    """Blocks that stay of a lot."""
    import random

    gone = random.Random(draw).sample(range(count), round(ratio * count))
    return ",".join(str(b) for b in range(count) if b not in gone)


for draw in DRAWS:
    CANDIDATES[f"random blocks {draw}"] = lambda ratio, draw=draw: (
        f'- {{method: keep, blocks: "{blocks_of(draw, ratio)}"}}\n')

# Data-aware method, the counterpart that it should beat.
PAIRS = [
    ("wanda_sp", "magnitude_sp"),
    ("wanda_sp, no compensation", "magnitude_sp"),
    ("flap", "magnitude_sp"),
    ("flap, affine", "magnitude_sp"),
    ("svd_llm", "svd"),
]
