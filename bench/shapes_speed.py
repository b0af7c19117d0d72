#!/usr/bin/env python3
"""Speed of smaller shapes of llama-1b beside the dense model, and what counting allows.

Every kind of result is made of one random checkpoint by `terse compress`; then all take turns in
one `terse bench`. A model should reach 85 % of what its operations (prompt) and its bytes
(generation) allow. Prints a table in Markdown, and exits with 1 where one does not.

    bench/shapes_speed.py --work DIR [--only KIND ...]

Models are kept in DIR (17 GB) and not made again; 20 GB of memory. Needs numpy.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import numpy

from synthetic_checkpoint import llama_config, write_checkpoint

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What about 40 % less of each kind is; for speed the values do not matter, so nothing but the
# rotations looks at text.
KINDS = {
    "heads and channels": "{method: magnitude_sp, ratio: 0.4}",
    "blocks of different shapes": "{method: magnitude_sp, ratio: 0.4, allocation: adaptive}",
    "fewer blocks": "{method: keep, num_hidden_layers: 13}",
    "hidden channels": "{method: hidden_sp, score: magnitude, ratio: 0.375}",
    "rotated stream": "{method: slicegpt, ratio: 0.4}",
    "factors": "{method: svd, ratio: 0.6}",
    "shared blocks": "{method: share, num_groups: 11}",
    "shared blocks with differences": "{method: share, num_groups: 11, rank: 64}",
    "multi-query attention": "{method: gqa, num_key_value_heads: 1, alignment: none}",
}


def make(arguments, name, step):
    folder = arguments.work / name.replace(" ", "-")
    if (folder / "config.json").exists():
        return folder
    recipe = folder.with_suffix(".yaml")
    recipe.write_text(f"calibration: {{tokens: {arguments.work}/ids.npy}}\nsteps:\n- {step}\n")
    subprocess.run([arguments.terse, "compress", arguments.work / "dense", "-o", folder,
                    "--recipe", recipe, "--force", "--json"], check=True, stdout=subprocess.PIPE)
    return folder


def spread(found, digits):
    return f"{found['median']:.{digits}f} ({found['least']:.{digits}f} to {found['most']:.{digits}f})"


def side(found, counted):
    return (f"{spread(found, 2)} | {found[counted]:.2f} | "
            f"{100 * found['median'] / found[counted]:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--terse", default=str(ROOT / "build/release/terse"))
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--blocks", type=int, help="instead of 22")
    parser.add_argument("--prompt-tokens", default="256")
    parser.add_argument("--tokens", default="32")
    parser.add_argument("--repetitions", default="5")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    dense = arguments.work / "dense"
    if not dense.exists():
        write_checkpoint(dense, llama_config("llama-1b", arguments.blocks))
    numpy.save(arguments.work / "ids.npy",
               numpy.random.default_rng(0).integers(0, 32000, (16, 256), numpy.int32))
    folders = [make(arguments, kind, KINDS[kind]) for kind in arguments.only]
    output = subprocess.run(
        [arguments.terse, "bench", dense, *folders, "--prompt-tokens", arguments.prompt_tokens,
         "--tokens", arguments.tokens, "--repetitions", arguments.repetitions, "--json"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    (arguments.work / "bench.json").write_text(output)
    found = json.loads(output)
    prompts, generations = ([line for line in found["results"] if line["test"] == test]
                            for test in ("prompt", "generation"))
    print(f"dense: prompt {spread(prompts[0]['tokens_per_second'], 1)} tokens/s, generation "
          f"{spread(generations[0]['tokens_per_second'], 2)} tokens/s, "
          f"{100 * generations[0]['bandwidth_share']:.0f} % of "
          f"{found['limits'][0]['memory_bandwidth'] / 1e9:.1f} GB/s\n")
    print("| result | prompt | by operations | % | generation | by bytes | % |\n"
          "|---|---|---|---|---|---|---|")
    reached = True
    for kind, *lines in zip(arguments.only, prompts[1:], generations[1:]):
        prompt, generation = (line["ratio"] for line in lines)
        print(f"| {kind} | {side(prompt, 'of_operations')} | {side(generation, 'of_bytes')} |")
        reached = reached and prompt["median"] >= 0.85 * prompt["of_operations"]
        reached = reached and generation["median"] >= 0.85 * generation["of_bytes"]
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
