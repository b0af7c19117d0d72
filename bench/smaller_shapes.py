#!/usr/bin/env python3
"""Smaller shapes of docs-llama: the table of docs/smaller-shapes.md.

Every method at 20 and 40 % fewer parameters in the blocks, with the calibration of tests/oracle,
beside random removal (ten draws) and plain magnitude. Scores are on the test text of tests/oracle;
differences between methods are paired by token, with windows as units.

    bench/smaller_shapes.py --work DIR [--only NAME ...]

Finished runs are kept in DIR and not done again. Prints tables in Markdown.
"""
import argparse
import json
import pathlib
import random
import statistics
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
CANDIDATES["slicegpt"] = units("slicegpt")
CANDIDATES["hidden_sp"] = units("hidden_sp")
CANDIDATES["hidden_sp, magnitude"] = units("hidden_sp", ", score: magnitude")
# A third of the blocks for 40 %, a sixth for 20 %; with differences more blocks, whose ranks bring
# the rest back.
for order in ["sequence", "cycle", "cycle_reversed"]:
    CANDIDATES[f"share, {order}"] = units("share", f", order: {order}")
CANDIDATES["share, mean"] = units("share", ", start: mean")
CANDIDATES["share, mlp"] = units("share", ", part: mlp")
CANDIDATES["share, attention"] = units("share", ", part: attention")
CANDIDATES["share, rank"] = lambda ratio: (
    f"- {{method: share, num_groups: {3 if ratio == 0.4 else 4}, "
    f"rank: {32 if ratio == 0.4 else 64}}}\n")
for draw in DRAWS:
    CANDIDATES[f"random_sp {draw}"] = units("random_sp", f", draw: {draw}")


def blocks_of(draw, ratio, count=6):
    """Blocks that stay of a lot."""
    gone = random.Random(draw).sample(range(count), round(ratio * count))
    return ",".join(str(b) for b in range(count) if b not in gone)


for draw in DRAWS:
    CANDIDATES[f"random blocks {draw}"] = lambda ratio, draw=draw: (
        f'- {{method: keep, blocks: "{blocks_of(draw, ratio)}"}}\n')

# The size of these does not follow from a share.
ONE_SIZE = {
    "gqa, 1 key-value head": "- {method: gqa, num_key_value_heads: 1}\n",
    "gqa, 1 key-value head, not aligned":
        "- {method: gqa, num_key_value_heads: 1, alignment: none}\n",
}

# Data-aware method, the counterpart that it should beat.
PAIRS = [
    ("wanda_sp", "magnitude_sp"),
    ("wanda_sp, no compensation", "magnitude_sp"),
    ("flap", "magnitude_sp"),
    ("flap, affine", "magnitude_sp"),
    ("svd_llm", "svd"),
    ("slicegpt", "hidden_sp, magnitude"),
    ("hidden_sp", "hidden_sp, magnitude"),
    ("share, rank", "share, sequence"),
    ("shortgpt", "random blocks"),
    ("angular", "random blocks"),
    ("block_pruner", "random blocks"),
]


class Bench:
    def __init__(self, arguments):
        self.terse = arguments.terse
        self.model = arguments.model
        self.samples = arguments.samples
        self.work = pathlib.Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.cache = self.work / "results.json"
        self.results = json.loads(self.cache.read_text()) if self.cache.exists() else {}

    def run(self, *words):
        output = subprocess.run([self.terse, *map(str, words), "--json"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)

    def kept(self, key, value):
        if key not in self.results:
            self.results[key] = value()
            self.cache.write_text(json.dumps(self.results, indent=1))
        return self.results[key]

    def folder(self, name, ratio):
        return self.work / "".join(c if c.isalnum() else "-" for c in f"{name} {ratio}")

    def compress(self, name, steps, ratio):
        folder = self.folder(name, ratio)
        recipe = folder.with_suffix(".yaml")
        recipe.write_text(f"calibration: {{tokens: {ORACLE / 'calibration_ids.npy'}}}\n"
                          f"steps:\n{steps}")
        return self.run("compress", self.model, "-o", folder, "--recipe", recipe, "--force")

    def parameters(self, folder):
        """Stored numbers of the blocks: linears, factors and shortcuts; all are bfloat16."""
        return sum(row["bytes"] / 2 for row in self.run("inspect", folder)["roles"]
                   if row["role"].endswith("_proj") or row["role"] == "shortcuts")

    def divergence(self, base, other):
        return self.run("eval", "divergence", base, other, "--tokens", ORACLE / "test_ids.npy",
                        "--window", 256, "--samples", self.samples)

    def measure(self, name, steps, ratio):
        def work():
            self.compress(name, steps, ratio)
            folder = self.folder(name, ratio)
            return {**self.divergence(self.model, folder), "parameters": self.parameters(folder)}
        return self.kept(f"{name} at {ratio}", work)

    def difference(self, base, other, ratio):
        return self.kept(f"{other} less {base} at {ratio}", lambda: self.divergence(
            self.folder(base, ratio), self.folder(other, ratio)))


def row(name, found, blocks):
    print(f"| {name} | {100 * (1 - found['parameters'] / blocks):.1f} | "
          f"{found['perplexity']:.2f} | {found['kl']:.4f} ± {found['kl_standard_error']:.4f} | "
          f"{100 * found['top1_agreement']:.1f} |")


def print_table(bench, names, ratio, blocks):
    print(f"\n{100 * ratio:g} % fewer parameters in the blocks\n\n"
          "| method | fewer in the blocks, % | perplexity | KL, nats per token | same first token, % "
          "|\n|---|---|---|---|---|")
    for name in names:
        row(name, bench.measure(name, CANDIDATES[name](ratio), ratio), blocks)


def print_lots(bench, prefix, ratio):
    losses = [bench.results[f"{prefix} {draw} at {ratio}"]["kl"] for draw in DRAWS]
    print(f"\n{prefix}, {len(losses)} draws: KL {statistics.mean(losses):.4f}, from "
          f"{min(losses):.4f} to {max(losses):.4f}")


def print_pairs(bench, ratio):
    print("\n| method | less | loss, nats per token | standard errors |\n|---|---|---|---|")
    for name, counterpart in PAIRS:
        if counterpart in CANDIDATES:
            found = bench.difference(counterpart, name, ratio)
            change, error = found["loss_difference"], found["loss_difference_standard_error"]
            print(f"| {name} | {counterpart} | {change:+.4f} | {abs(change) / error:.1f} |")
            continue
        found = [bench.difference(f"{counterpart} {draw}", name, ratio) for draw in DRAWS]
        # Lots may have drawn the same blocks.
        found = [f for f in found if f["loss_difference_standard_error"] > 0]
        changes = [f["loss_difference"] for f in found]
        errors = [f["loss_difference"] / f["loss_difference_standard_error"] for f in found]
        print(f"| {name} | {counterpart}, mean and worst of {len(found)} other draws | "
              f"{statistics.mean(changes):+.4f}, {max(changes):+.4f} | {-max(errors):.1f} at least |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--terse", default=str(ROOT / "build/release/terse"))
    parser.add_argument("--model", default=str(ROOT / "models/docs-llama"))
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--only", nargs="*", help="Names of candidates; no comparisons")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    blocks = bench.parameters(bench.model)
    names = arguments.only or list(CANDIDATES)
    for ratio in [0.2, 0.4]:
        print_table(bench, names, ratio, blocks)
        if arguments.only:
            continue
        for prefix in ["random_sp", "random blocks"]:
            print_lots(bench, prefix, ratio)
        print_pairs(bench, ratio)
    if arguments.only:
        return
    print()
    for name, steps in ONE_SIZE.items():
        row(name, bench.measure(name, steps, 0), blocks)
    aligned, plain = ONE_SIZE
    found = bench.difference(plain, aligned, 0)
    print(f"\n{aligned} less {plain}: {found['loss_difference']:+.4f} "
          f"± {found['loss_difference_standard_error']:.4f}")


if __name__ == "__main__":
    main()
