#!/usr/bin/env python3
"""`terse search` beside every uniform recipe of one method and the same size, on docs-llama.

For each target, bits per weight over the whole model: a search, calibrated on the tokens of
tests/oracle, measuring on text that the model writes itself; then every setting of every method
that fits the target, with as many bits for embedding and head as still fit. All are calibrated on the
same tokens, and measured on the test tokens of tests/oracle, which nothing here has seen:
divergences differ in pairs, windows are the units. Settings that end more than a tenth below the
target are not of its size. Embedding and head have 4 bits at least: at 3 they alone lose more than
any recipe here.

    bench/search.py --work DIR [--targets 5 4 3] [--time-limit 20min] [--samples 64]

Finished runs are kept in DIR and not done again. Prints tables in Markdown.
"""
import argparse
import json
import math
import pathlib
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "tests/oracle/docs-llama"
GROUPS = [32, 64, 128]


def grids(bits):
    """Grids of so many bits: words of a recipe."""
    return [f"bits: {bits}, group_size: {group}" for group in GROUPS] + [
        f"bits: {bits}, strategy: channel"]


def settings():
    """Uniform recipes: name, method, steps, and about how many bits a weight of a linear then has."""
    found = []

    def add(method, bits, *steps):
        name = " then ".join(steps).replace("method: ", "")
        found.append((name, method, "".join(f"- {{{step}}}\n" for step in steps), bits))

    for bits in range(2, 9):
        sizes = [bits + (bits + 16) / group for group in GROUPS] + [bits + 0.1]
        for grid, size in zip(grids(bits), sizes):
            for clip in ["minmax", "mse"]:
                add("rtn", size, f"method: rtn, {grid}, clip: {clip}")
                for order in ["", ", desc_act: true", ", desc_act: true, static_groups: true"]:
                    if order == ", desc_act: true" and "channel" in grid:
                        continue
                    add("gptq", size, f"method: gptq, {grid}, clip: {clip}{order}")
            add("autoround", size, f"method: autoround, {grid}, clip: mse")
            add("awq", size, f"method: awq, {grid}")
        for rank in [8, 32]:
            add("lqer", sizes[1] + rank / 12, f"method: lqer, bits: {bits}, group_size: 64, "
                f"rank: {rank}, clip: mse")
        for sparsity, kept, index in [("sparsity: 0.25", 0.75, 1), ("sparsity: 0.5", 0.5, 1),
                                      ('structure: "2:4"', 0.5, 1)]:
            for grid in [f"bits: {bits}, strategy: group, group_size: 128", f"bits: {bits}"]:
                add("sparsegpt", kept * bits + index + 0.1,
                    f"method: sparsegpt, {sparsity}, {grid}, clip: mse")
        for ratio in [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]:
            add("svd_llm then gptq", ratio * (bits + 0.1), f"method: svd_llm, ratio: {ratio}",
                f"method: gptq, bits: {bits}, strategy: channel, clip: mse")
    return found


class Bench:
    def __init__(self, arguments):
        self.terse = arguments.terse
        self.model = arguments.model
        self.samples = arguments.samples
        self.made = None
        self.work = pathlib.Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.cache = self.work / "results.json"
        self.results = json.loads(self.cache.read_text()) if self.cache.exists() else {}
        if self.results.setdefault("samples", self.samples) != self.samples:
            raise SystemExit(f"{self.work} has results on {self.results['samples']} windows")
        inventory = self.run("inspect", self.model)
        self.parameters = inventory["parameters"]
        self.linears = self.parameters - self.embeddings_bytes(0) / 2

    def keep(self, key, value):
        self.results[key] = value
        self.cache.write_text(json.dumps(self.results, indent=1))
        return value

    def run(self, *words):
        return json.loads(subprocess.run([self.terse, *map(str, words), "--json"], check=True,
                                         stdout=subprocess.PIPE, text=True).stdout)

    def make(self, recipe):
        """A recipe's model, in the folder `model`, where it stays until another is made."""
        if self.made and self.made[0] == recipe:
            return self.made[1]
        self.made = None
        shutil.rmtree(self.work / "model", ignore_errors=True)
        path = self.work / "recipe.yaml"
        path.write_text(recipe)
        report = self.run("compress", self.model, "-o", self.work / "model", "--recipe", path,
                          "--restart")
        self.made = (recipe, report)
        return report

    def measure(self, name, recipe):
        """Size and divergence of a recipe's model."""
        if name in self.results:
            return self.results[name]
        made = self.make(recipe)
        kl = self.run("eval", "divergence", self.model, self.work / "model", "--tokens",
                      ORACLE / "test_ids.npy", "--window", 256, "--samples", self.samples)
        return self.keep(name, {"bits": made["bits_per_weight"], "bytes": made["bytes"],
                                "kl": kl["kl"],
                                "error": kl["kl_standard_error"], "windows": kl["window_kl"],
                                "tokens": kl["window_tokens"]})

    @staticmethod
    def recipe(steps, embeddings):
        return (f"calibration: {{tokens: {ORACLE}/calibration_ids.npy}}\nsteps:\n{steps}"
                f"output: {{embeddings_bits: {embeddings}}}\n")

    def linears_bytes(self, name, steps, guess):
        """What the linears take, and all else that is not embedding or head."""
        key = f"size of {name}"
        if key not in self.results:
            made = self.make(self.recipe(steps, guess))
            self.keep(key, made["bytes"] - self.embeddings_bytes(guess))
        return self.results[key]

    def embeddings_bytes(self, bits):
        config = json.loads((pathlib.Path(self.model) / "config.json").read_text())
        rows, width = config["vocab_size"], config["hidden_size"]
        if bits == 0:
            return 2 * rows * width
        group = min(width, 128)
        return rows * width * (bits + (16 + bits) / group) / 8 + 16

    def most_embeddings(self, rest, target):
        """Bits of embedding and head, as many as fit beside `rest` bytes; None where none do, or
        where all that fit end far below the target."""
        for bits in [8, 7, 6, 5, 4]:
            total = 8 * (rest + self.embeddings_bytes(bits)) / self.parameters
            if total <= target:
                return bits if total >= 0.9 * target else None
        return None

    def at_target(self, name, steps, bits, target):
        """The uniform recipe with embedding and head as large as the target allows, and its
        entry; None where it is not of that size."""
        guess = self.most_embeddings(bits / 8 * self.linears, 1.02 * target)
        if guess is None:
            return None
        # What AutoRound makes is as large as what rounding makes, and takes minutes.
        size = [text.replace("autoround", "rtn") for text in (name, steps)]
        fits = self.most_embeddings(self.linears_bytes(*size, guess), target)
        if fits is None:
            return None
        entry = self.measure(f"{name}, embeddings {fits}", self.recipe(steps, fits))
        return (f"{name}, embeddings {fits}", entry) if entry["bits"] <= target else None

    def search(self, target, limit):
        path = self.work / f"searched-{target:g}.yaml"
        key = f"search {target:g}"
        if key not in self.results or not path.exists():
            start = time.monotonic()
            report = self.run("search", self.model, "-o", path, "--target-bpw", target, "--force",
                              "--restart", "--calibration-tokens", ORACLE / "calibration_ids.npy",
                              "--time-limit", limit)
            self.keep(key, {"seconds": time.monotonic() - start, "report": report})
        return self.measure(f"searched {target:g}", path.read_text()), self.results[key]


def difference(one, other):
    """Mean of the paired differences of divergence, and its standard error."""
    tokens = one["tokens"]
    assert tokens == other["tokens"] and len(set(tokens)) == 1
    gaps = [(a - b) / tokens[0] for a, b in zip(one["windows"], other["windows"])]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)
    return mean, math.sqrt(variance / len(gaps))


def row(name, entry, searched):
    mean, error = difference(entry, searched)
    print(f"| {name} | {entry['bits']:.3f} | {entry['kl']:.5f} ± {entry['error']:.5f} | "
          f"+{mean:.5f} ± {error:.5f} | {mean / error:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--terse", default=str(ROOT / "build/release/terse"))
    parser.add_argument("--model", default=str(ROOT / "models/docs-llama"))
    parser.add_argument("--targets", type=float, nargs="+", default=[5, 4, 3])
    parser.add_argument("--time-limit", default="20min")
    parser.add_argument("--samples", type=int, default=64, help="windows of the test tokens")
    parser.add_argument("--methods", nargs="+", help="only these")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    beaten = True
    for target in arguments.targets:
        searched, how = bench.search(target, arguments.time_limit)
        print(f"\n{target:g} bits per weight: searched in {how['seconds'] / 60:.1f} min, "
              f"{how['report']['best']['name']}\n")
        best, made = {}, 0
        for name, method, steps, bits in settings():
            if arguments.methods and method not in arguments.methods:
                continue
            found = bench.at_target(name, steps, bits, target)
            if found is None:
                continue
            made += 1
            mean, error = difference(found[1], searched)
            beaten = beaten and mean > 2 * error
            if method not in best or found[1]["kl"] < best[method][1]["kl"]:
                best[method] = found
        print(f"{made} uniform recipes; the best of each method:\n")
        print("| recipe | bits per weight | KL | more than searched | standard errors |\n"
              "|---|---|---|---|---|")
        print(f"| **searched** | {searched['bits']:.3f} | {searched['kl']:.5f} ± "
              f"{searched['error']:.5f} | | |")
        for name, entry in sorted(best.values(), key=lambda each: each[1]["kl"]):
            row(name, entry, searched)
    print("\nevery uniform recipe is beaten by more than 2 standard errors" if beaten
          else "\nNOT every uniform recipe is beaten by more than 2 standard errors")


if __name__ == "__main__":
    main()
