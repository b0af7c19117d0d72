#!/usr/bin/env python3
"""What training wins back on docs-llama: the comparisons of docs/learning-back.md.

Text: the documentation of Python and Perl (Debian packages python3.11-doc and perl-doc), a quarter
of its files to learn from, a twentieth held out and another twentieth for choosing learning rates;
and git-doc, which nothing here learns from. Every candidate that learns gets the same windows in
the same order, the best of three learning rates (by loss on the files for choosing, seed 0) and
three seeds. Scores are on the held-out files and on git-doc; differences are paired by token, with
windows as units.

    bench/learning_back.py --work DIR [--only NAME ...] [--steps 64]

Runs take one thread each, as many at a time as there are processors. Finished ones are kept in DIR
and not done again. Prints tables in Markdown.
"""
import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess
import threading
import time

from package_text import write_parts

ROOT = pathlib.Path(__file__).resolve().parent.parent
WINDOW = 256
SEEDS = [0, 1, 2]

LORA = "- {{method: lora, r: 16, learning_rate: {lr}, {loop}}}\n"
FINETUNE = "- {{method: finetune, learning_rate: {lr}, {loop}}}\n"
DISTILL = "- {{method: distill, learning_rate: {lr}, distill_weight: {weight}, {loop}}}\n"
QAT = "- {{method: qat, learning_rate: {lr}, bits: 2, group_size: 64, {more}{loop}}}\n"
MAGNITUDE = "- {method: magnitude, sparsity: 0.5}\n"
SPARSEGPT = "- {method: sparsegpt, structure: \"2:4\"}\n"
HALF = "- {method: keep, num_hidden_layers: 3}\n"


def raw(text):
    """Steps that are no template, for one."""
    return text.replace("{", "{{").replace("}", "}}")


def one_shot(method, bits, more=""):
    return raw(f"- {{method: {method}, bits: {bits}, group_size: 64{more}}}\n")


# Name: steps of the recipe; learning rates, where it learns.
CANDIDATES = {
    "dense, tuned": (FINETUNE, [1e-4, 3e-4, 1e-3]),
    "magnitude 50 %": (raw(MAGNITUDE), None),
    "magnitude 50 %, LoRA": (raw(MAGNITUDE) + LORA, [1e-3, 3e-3, 1e-2]),
    "SparseGPT 2:4": (raw(SPARSEGPT), None),
    "SparseGPT 2:4, LoRA": (raw(SPARSEGPT) + LORA, [1e-3, 3e-3, 1e-2]),
    "half the blocks": (raw(HALF), None),
    "half the blocks, text alone": (raw(HALF) + FINETUNE, [5e-4, 1e-3, 2e-3]),
    "half the blocks, distilled": (raw(HALF) + DISTILL.replace("{weight}", "0.5"),
                                   [5e-4, 1e-3, 2e-3]),
    "2 bits, rounding": (one_shot("rtn", 2), None),
    "2 bits, GPTQ": (one_shot("gptq", 2), None),
    "2 bits, GPTQ, clip mse": (one_shot("gptq", 2, ", clip: mse"), None),
    "2 bits, GPTQ, desc_act": (one_shot("gptq", 2, ", desc_act: true"), None),
    "2 bits, GPTQ, desc_act, clip mse": (one_shot("gptq", 2, ", desc_act: true, clip: mse"), None),
    "2 bits, AutoRound": (one_shot("autoround", 2), None),
    "3 bits, GPTQ": (one_shot("gptq", 3), None),
    "3 bits, GPTQ, clip mse": (one_shot("gptq", 3, ", clip: mse"), None),
    "3 bits, GPTQ, desc_act": (one_shot("gptq", 3, ", desc_act: true"), None),
    "3 bits, GPTQ, desc_act, clip mse": (one_shot("gptq", 3, ", desc_act: true, clip: mse"), None),
    "3 bits, AutoRound": (one_shot("autoround", 3), None),
    "2 bits, QAT": (QAT.replace("{more}", ""), [3e-4, 1e-3, 2e-3]),
    "ternary, distilled": (QAT.replace("{more}", "ternary: true, symmetric: true, "
                                       "distill_weight: 0.5, "), [1e-3, 2e-3, 4e-3]),
    "2 bits, QAT, teacher alone": (QAT.replace("{more}", "distill_weight: 1, "),
                                   [3e-4, 1e-3, 2e-3]),
    "ternary, teacher alone": (QAT.replace("{more}", "ternary: true, symmetric: true, "
                                           "distill_weight: 1, "), [1e-3, 2e-3, 4e-3]),
}


class Bench:
    def __init__(self, arguments):
        self.terse = arguments.terse
        self.model = arguments.model
        self.steps = arguments.steps
        self.samples = arguments.calibration_samples
        self.work = pathlib.Path(arguments.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.cache = self.work / "results.json"
        self.results = json.loads(self.cache.read_text()) if self.cache.exists() else {}
        self.lock = threading.Lock()

    def keep(self, key, value):
        with self.lock:
            self.results[key] = value
            self.cache.write_text(json.dumps(self.results, indent=1))
        return value

    def run(self, *words):
        output = subprocess.run([self.terse, "--threads", "1", *map(str, words), "--json"],
                                check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(output)

    @staticmethod
    def side_by_side(function, arguments):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda each: function(*each), arguments))

    # Runs

    def compress(self, name, rate=None, seed=0):
        """The folder of a model, and seconds that it took."""
        label = name if rate is None else f"{name}, rate {rate:g}, seed {seed}"
        folder = self.work / "models" / "".join(c if c.isalnum() else "-" for c in label)
        if label in self.results:
            return folder, label
        loop = f"max_steps: {self.steps}, batch_size: 8, data_seed: {seed}, save_steps: 100000"
        steps = CANDIDATES[name][0].format(lr=rate, loop=loop)
        recipe = (f"calibration: {{text: {self.work}/train, samples: {self.samples}, "
                  f"window: {WINDOW}}}\n"
                  f"training: {{text: {self.work}/train, window: {WINDOW}}}\nsteps:\n{steps}")
        folder.parent.mkdir(exist_ok=True)
        path = folder.with_suffix(".yaml")
        path.write_text(recipe)
        start = time.monotonic()
        report = self.run("compress", self.model, "-o", folder, "--recipe", path, "--force",
                          "--restart")
        entry = {"seconds": time.monotonic() - start, "bits": report["linear_bits_per_weight"],
                 "choosing": self.score(folder, "choosing", 60)["loss"]}
        self.keep(label, entry)
        print(f"  {label}: {entry['seconds']:.0f} s, loss {entry['choosing']:.4f}", flush=True)
        return folder, label

    def runs(self, name):
        """Folders of a candidate, one for each seed; the rate that was best."""
        if CANDIDATES[name][1] is None:
            return [self.compress(name)[0]], None
        best = self.best_rate(name)
        return [self.compress(name, best, seed)[0] for seed in SEEDS], best

    def run_all(self, names):
        self.side_by_side(self.compress,
                          [(name, rate) for name in names for rate in CANDIDATES[name][1] or [None]])
        best = {name: self.best_rate(name) for name in names if CANDIDATES[name][1]}
        self.side_by_side(self.compress, [(name, rate, seed) for name, rate in best.items()
                                          for seed in SEEDS])
        folders = [folder for name in names for folder in self.runs(name)[0]]
        self.side_by_side(self.scores, [(folder,) for folder in [self.model, *folders]])

    def best_rate(self, name):
        return min(CANDIDATES[name][1],
                   key=lambda rate: self.results[self.compress(name, rate)[1]]["choosing"])

    # Scores

    def score(self, folder, part, samples=100):
        return self.run("eval", "perplexity", folder, "--text", self.work / part, "--window",
                        WINDOW, "--samples", samples)

    def scores(self, folder):
        key = f"scores of {pathlib.Path(folder).name}"
        if key in self.results:
            return self.results[key]
        versus = self.difference(self.model, folder, "held-out")
        return self.keep(key, {"held-out": versus["perplexity"],
                               "git": self.score(folder, "git")["perplexity"],
                               "kl": versus["kl"], "top1": versus["top1_agreement"]})

    def difference(self, base, other, part, samples=100):
        """Paired loss of `other` less that of `base`, with its standard error."""
        key = f"{pathlib.Path(other).name} less {pathlib.Path(base).name} on {samples} of {part}"
        if key in self.results:
            return self.results[key]
        return self.keep(key, self.run("eval", "divergence", base, other, "--text",
                                       self.work / part, "--window", WINDOW, "--samples",
                                       samples))


def spread(values):
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def print_scores(bench, names):
    print("\n| model | learning rate | bits per weight of the linears | held-out files | git-doc | "
          "KL to docs-llama | seconds |\n|---|---|---|---|---|---|---|")
    for name in ["docs-llama", *names]:
        if name == "docs-llama":
            folders, rate, entry = [bench.model], None, {"bits": 16, "seconds": 0}
        else:
            folders, rate = bench.runs(name)
            entry = bench.results[bench.compress(name, rate, 0)[1]]
        scores = [bench.scores(folder) for folder in folders]
        print(f"| {name} | {'' if rate is None else f'{rate:g}'} | {entry['bits']:.2f} | "
              f"{spread([s['held-out'] for s in scores])} | {spread([s['git'] for s in scores])} | "
              f"{statistics.mean(s['kl'] for s in scores):.4f} | {entry['seconds']:.0f} |")


def print_recovered(bench, before, after, control):
    pruned = bench.scores(bench.runs(before)[0][0])["held-out"]
    shares = []
    for healed, dense in zip(bench.runs(after)[0], bench.runs(control)[0]):
        healed, dense = bench.scores(healed)["held-out"], bench.scores(dense)["held-out"]
        shares.append(100 * (pruned - healed) / (pruned - dense))
    print(f"| {after} | {control} | {spread(shares)} % |")


def print_difference(bench, base, other):
    bases, others = bench.runs(base)[0], bench.runs(other)[0]
    for part in ["held-out", "git"]:
        found = bench.side_by_side(
            bench.difference, [(bases[i % len(bases)], others[i % len(others)], part, 300)
                               for i in range(max(len(bases), len(others)))])
        losses = [d["loss_difference"] for d in found]
        errors = [abs(d["loss_difference"]) / d["loss_difference_standard_error"] for d in found]
        ratio = math.exp(statistics.mean(losses))
        print(f"| {other} | {base} | {part} | {statistics.mean(losses):+.4f} "
              f"({min(losses):+.4f} to {max(losses):+.4f}) | {ratio:.4f} | {min(errors):.1f} |")


def best_of(bench, prefix):
    names = [name for name in CANDIDATES if name.startswith(prefix)]
    return min(names, key=lambda name: bench.results[name]["choosing"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True)
    parser.add_argument("--terse", default=str(ROOT / "build/release/terse"))
    parser.add_argument("--model", default=str(ROOT / "models/docs-llama"))
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--calibration-samples", type=int, default=256)
    parser.add_argument("--only", nargs="*", help="Names of candidates; no tables of comparisons")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    write_parts(bench.work)
    names = arguments.only or list(CANDIDATES)
    bench.run_all(names)
    print_scores(bench, names)
    if arguments.only:
        return
    print("\n| healed | control | share of the gap on the held-out files |\n|---|---|---|")
    print_recovered(bench, "magnitude 50 %", "magnitude 50 %, LoRA", "dense, tuned")
    print_recovered(bench, "SparseGPT 2:4", "SparseGPT 2:4, LoRA", "dense, tuned")
    print("\n| model | less | text | loss, nats per token (over seeds) | ratio of perplexities | "
          "standard errors, least of the seeds |\n|---|---|---|---|---|---|")
    gptq2, gptq3 = best_of(bench, "2 bits, GPTQ"), best_of(bench, "3 bits, GPTQ")
    print_difference(bench, "half the blocks, text alone", "half the blocks, distilled")
    print_difference(bench, gptq2, "2 bits, AutoRound")
    print_difference(bench, gptq3, "3 bits, AutoRound")
    print_difference(bench, "2 bits, AutoRound", "2 bits, QAT")
    print_difference(bench, gptq2, "ternary, distilled")
    print_difference(bench, "2 bits, AutoRound", "2 bits, QAT, teacher alone")
    print_difference(bench, gptq2, "ternary, teacher alone")


if __name__ == "__main__":
    main()
