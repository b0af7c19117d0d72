#!/usr/bin/env python3
"""Smaller shapes of docs-llama: the table of docs/smaller-shapes.md.

Every method at 20 and 40 % fewer parameters in the blocks, with the calibration of tests/oracle,
beside random removal (ten draws) and plain magnitude. Scores are on the test text of tests/oracle;
differences between methods are paired by token, with windows as units.

Then each method once more, followed by distillation: what the model predicted is learned back on a
quarter of the documentation of Python and Perl (package_text.py), the same windows in the same order
for all. The steps take about four minutes on two cores; two models learn at a time, on a core each.

    bench/smaller_shapes.py --work DIR [--only NAME ...] [--ratios 0.2 0.4] [--distill-steps 256]

Finished runs are kept in DIR and not done again. Prints tables in Markdown.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import statistics
import subprocess
import threading

from package_text import write_parts

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "tests/oracle/docs-llama"
DRAWS = range(10)
DISTILL = ("- {{method: distill, max_steps: {steps}, batch_size: 8, learning_rate: {rate}, "
           "save_steps: 100000}}\n")

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
    "fwsvd": lambda ratio: f"- {{method: fwsvd, ratio: {1 - ratio:g}}}\n",
    "asvd": lambda ratio: f"- {{method: asvd, ratio: {1 - ratio:g}}}\n",
    "svd_llm": lambda ratio: f"- {{method: svd_llm, ratio: {1 - ratio:g}}}\n",
}
# As many numbers as whole blocks that are drawn.
CANDIDATES["block_pruner, as many"] = lambda ratio: units("block_pruner")(
    f"{round(6 * ratio) / 6:.6f}")
CANDIDATES["slicegpt"] = units("slicegpt")
CANDIDATES["hidden_sp"] = units("hidden_sp")
CANDIDATES["hidden_sp, no compensation"] = units("hidden_sp", ", compensation: none")
CANDIDATES["hidden_sp, magnitude"] = units("hidden_sp", ", score: magnitude, compensation: none")
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
ONE_HEAD = "- {{method: gqa, num_key_value_heads: 1{more}}}\n"
ONE_SIZE = {
    "gqa": ONE_HEAD.format(more=""),
    "gqa, not aligned": ONE_HEAD.format(more=", alignment: none"),
    "gqa, no compensation": ONE_HEAD.format(more=", compensation: none"),
    "gqa, means alone": ONE_HEAD.format(more=", alignment: none, compensation: none"),
}

# Variants of other rows, of which one learns; angular chooses what shortgpt does here.
NOT_DISTILLED = {"magnitude_sp, least squares", "wanda_sp, no compensation", "flap, affine",
                 "angular", "block_pruner, as many", "hidden_sp, no compensation",
                 "hidden_sp, magnitude", "share, mlp",
                 "share, attention", "gqa, not aligned", "gqa, no compensation",
                 "gqa, means alone"}

# Data-aware method, the counterpart that it should beat.
PAIRS = [
    ("wanda_sp", "magnitude_sp"),
    ("wanda_sp, no compensation", "magnitude_sp"),
    ("flap", "magnitude_sp"),
    ("flap, affine", "magnitude_sp"),
    ("fwsvd", "svd"),
    ("asvd", "svd"),
    ("svd_llm", "svd"),
    ("slicegpt", "hidden_sp, magnitude"),
    ("hidden_sp", "hidden_sp, magnitude"),
    ("hidden_sp, no compensation", "hidden_sp, magnitude"),
    ("share, rank", "share, sequence"),
    ("shortgpt", "random blocks"),
    ("angular", "random blocks"),
    ("block_pruner", "random blocks"),
    ("block_pruner, as many", "random blocks"),
]

ONE_SIZE_PAIRS = [("gqa", "gqa, not aligned"), ("gqa", "gqa, no compensation"),
                  ("gqa, no compensation", "gqa, means alone")]


class Bench:
    def __init__(self, arguments):
        self.terse = arguments.terse
        self.model = arguments.model
        self.samples = arguments.samples
        self.distill_steps = arguments.distill_steps
        self.learning_rate = arguments.learning_rate
        self.work = pathlib.Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.cache = self.work / "results.json"
        self.results = json.loads(self.cache.read_text()) if self.cache.exists() else {}
        self.lock = threading.Lock()

    def run(self, *words):
        output = subprocess.run([self.terse, *map(str, words), "--json"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)

    def kept(self, key, value):
        if key not in self.results:
            found = value()
            with self.lock:
                self.results[key] = found
                self.cache.write_text(json.dumps(self.results, indent=1))
        return self.results[key]

    def folder(self, name, ratio):
        return self.work / "".join(c if c.isalnum() else "-" for c in f"{name} {ratio}")

    def compress(self, name, steps, ratio, *words):
        folder = self.folder(name, ratio)
        recipe = folder.with_suffix(".yaml")
        text = f"calibration: {{tokens: {ORACLE / 'calibration_ids.npy'}}}\n"
        if "fwsvd" in steps:
            text += f"importance: {self.scores()}\n"
        if "distill" in steps:
            text += f"training: {{text: {self.work}/train, window: 256}}\n"
        recipe.write_text(f"{text}steps:\n{steps}")
        return self.run(*words, "compress", self.model, "-o", folder, "--recipe", recipe,
                        "--force")

    def scores(self):
        """Importance scores for methods that want them."""
        path = self.work / "scores.safetensors"
        with self.lock:
            if not path.exists():
                self.run("importance", self.model, "-o", path, "--tokens",
                         ORACLE / "calibration_ids.npy")
        return path

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

    def distillation(self):
        return DISTILL.format(steps=self.distill_steps, rate=self.learning_rate)

    def distilled(self, name, steps, ratio):
        """The model as it was and after learning: paired losses, divergence, and seconds."""
        def work():
            after = f"{name}, distilled"
            made = self.compress(after, steps + self.distillation(), ratio, "--threads", 1)
            learned = self.folder(after, ratio)
            found = self.divergence(self.model, learned)
            gain = self.divergence(self.folder(name, ratio), learned)
            return {"seconds": made["seconds"], "kl": found["kl"],
                    "kl_standard_error": found["kl_standard_error"],
                    "perplexity": found["perplexity"], "gain": gain["loss_difference"],
                    "gain_standard_error": gain["loss_difference_standard_error"]}
        return self.kept(f"{name} distilled at {ratio}", work)

    def distil_all(self, names, ratio):
        write_parts(self.work)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda name: self.distilled(name, steps_of(name, ratio), ratio), names))

    def difference(self, base, other, ratio):
        return self.kept(f"{other} less {base} at {ratio}", lambda: self.divergence(
            self.folder(base, ratio), self.folder(other, ratio)))


def steps_of(name, ratio):
    return ONE_SIZE[name] if name in ONE_SIZE else CANDIDATES[name](ratio)


def learns(name):
    return not name.startswith("random") and name not in NOT_DISTILLED


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


def print_distilled(bench, names, ratio):
    names = [name for name in names if learns(name)]
    bench.distil_all(names, ratio)
    print("\n| method | KL before | KL after distillation | perplexity | loss | standard errors |\n"
          "|---|---|---|---|---|---|")
    for name in names:
        before = bench.results[f"{name} at {ratio}"]["kl"]
        found = bench.results[f"{name} distilled at {ratio}"]
        print(f"| {name} | {before:.4f} | {found['kl']:.4f} ± {found['kl_standard_error']:.4f} | "
              f"{found['perplexity']:.2f} | {found['gain']:+.4f} | "
              f"{abs(found['gain']) / found['gain_standard_error']:.1f} |", flush=True)


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
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.2, 0.4])
    parser.add_argument("--distill-steps", type=int, default=256, help="0: none learns")
    parser.add_argument("--learning-rate", default="1e-3", help="another needs another --work")
    parser.add_argument("--only", nargs="*", help="Names of candidates; no comparisons")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    blocks = bench.parameters(bench.model)
    names = arguments.only or list(CANDIDATES)
    for ratio in arguments.ratios:
        print_table(bench, names, ratio, blocks)
        if arguments.distill_steps > 0:
            print_distilled(bench, names, ratio)
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
    if arguments.distill_steps > 0:
        print_distilled(bench, ONE_SIZE, 0)
    for name, counterpart in ONE_SIZE_PAIRS:
        found = bench.difference(counterpart, name, 0)
        print(f"\n{name} less {counterpart}: {found['loss_difference']:+.4f} "
              f"± {found['loss_difference_standard_error']:.4f}")


if __name__ == "__main__":
    main()
