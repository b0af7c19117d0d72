#!/usr/bin/env python3
"""Speed of terse beside llama.cpp on the same random weights of a shape.

Writes one model twice, as a pure Q4_0 or Q8_0 GGUF (embedding and head too) and as a checkpoint of
integers with the same codes and float16 scales of 32; then both read a prompt and write after it, in
turn, on the same threads. llama.cpp comes prebuilt in the npm package node-llama-cpp, for the
processor at hand; its flash attention is on. Prints the ratios of the pairs with their spread, and
rows for RESULTS.md. A `llama-bench` of ik_llama.cpp that is on the machine joins in every round
(--llama-bench PATH): run-time repacking and flash attention on, generation after the same prompt.

    bench/llama_cpp.py [--work DIR] [--type Q4_0 Q8_0] [--pairs 5] [--threads 2]

Needs numpy, node and npm; 1.3 GB of disk for Q4_0 and 2.4 GB for Q8_0 of llama-1b. Models and
llama.cpp are kept in DIR and not made again; without it a folder is made and removed.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from gguf_numpy import KINDS, write_pair
from synthetic_checkpoint import SHAPES, llama_config

ROOT = pathlib.Path(__file__).resolve().parent.parent
DRIVER = pathlib.Path(__file__).with_suffix(".mjs")
PACKAGES = ["node-llama-cpp", "@node-llama-cpp/linux-x64"]  # all other builds are optional ones
TESTS = ["prompt", "generation"]


def run(command, **more):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True,
                          **more).stdout


def install(folder):
    """llama.cpp of npm in `folder`. The package of the library is asked for in the version that the
    first one is for."""
    if (folder / "node_modules").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    options = ["--prefix", folder, "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    run(["npm", "install", *options, PACKAGES[0]])
    found = json.loads((folder / "node_modules" / PACKAGES[0] / "package.json").read_text())
    run(["npm", "install", *options, f"{PACKAGES[1]}@{found['version']}"])


class LlamaCpp:
    """llama.cpp with a model in memory, waiting to be asked."""

    def __init__(self, packages, model, arguments):
        context = arguments.prompt_tokens + arguments.tokens + 8
        self.process = subprocess.Popen(
            ["node", DRIVER, packages, model, str(arguments.threads), str(context)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("llama.cpp ended without an answer")
        return json.loads(line)

    def measure(self, arguments):
        print(arguments.prompt_tokens, arguments.tokens, file=self.process.stdin, flush=True)
        found = self.answer()
        return {"prompt": arguments.prompt_tokens / found["prompt"],
                "generation": (len(found["tokens"]) - 1) / found["generation"]}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def lengths(arguments):
    return ["--prompt-tokens", arguments.prompt_tokens, "--tokens", arguments.tokens,
            "--threads", arguments.threads]


def measure_terse(model, arguments):
    """Of one run after one that does not count, and what the machine can do."""
    report = json.loads(run([arguments.terse, "bench", model, *lengths(arguments),
                             "--repetitions", 1, "--json"]))
    found = {line["test"]: line["tokens_per_second"]["median"] for line in report["results"]}
    shares = {"prompt": report["results"][0]["peak_share"],
              "generation": report["results"][1]["bandwidth_share"]}
    return found, shares


def parse_llama_bench(output):
    """Tokens per second from `llama-bench -o json`. Rows with n_gen are generation, after n_prompt
    tokens; older programs add a row of both together ("pp512+tg128"), which is neither."""
    found = {}
    for row in json.loads(output):
        if "+" not in row.get("test", ""):
            found["generation" if row["n_gen"] else "prompt"] = row["avg_ts"]
    missing = [test for test in TESTS if test not in found]
    if missing:
        sys.exit(f"llama-bench: no rows of {' and '.join(missing)} in its output")
    return found


def measure_llama_bench(model, arguments):
    return parse_llama_bench(
        run([arguments.llama_bench, "-m", model, "-p", arguments.prompt_tokens, "-n", 0, "-gp",
             f"{arguments.prompt_tokens},{arguments.tokens}", "-t", arguments.threads, "-fa", 1,
             "-rtr", 1, "-r", 1, "-o", "json"]))


def spread(values, digits=2):
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f} to {max(values):.{digits}f})")


def report(kind, arguments, about, found, shares):
    """A line for each peer and test, then the row for RESULTS.md."""
    cells = []
    for test in TESTS:
        ours = [each[test] for each in found["terse"]]
        limit = "the arithmetic peak" if test == "prompt" else "the bus"
        share = spread([100 * each[test] for each in shares], 0)
        print(f"{kind} {test}: terse {spread(ours)} tokens/s, {share} % of {limit}")
        for peer, rates in found.items():
            if peer == "terse":
                continue
            theirs = [each[test] for each in rates]
            ratios = [a / b for a, b in zip(ours, theirs)]
            print(f"{kind} {test}: {peer} {spread(theirs)} tokens/s; terse {spread(ratios)} times")
            cells.append(f"{test} **{statistics.median(ratios):.2f}** "
                         f"({min(ratios):.2f} to {max(ratios):.2f}) times {peer}")
    print(f"| {arguments.shape}, {kind} in every matrix, prompt of {arguments.prompt_tokens}, "
          f"{arguments.tokens} written, {arguments.threads} threads, beside llama.cpp "
          f"({', '.join(about['variants'])}) | | {'; '.join(cells)}; {arguments.pairs} pairs | "
          f"`bench/llama_cpp.py --type {kind} --pairs {arguments.pairs} "
          f"{' '.join(map(str, lengths(arguments)))}` |", flush=True)


def compare(kind, packages, arguments, work):
    folder = work / f"{arguments.shape}-{kind}"
    if not folder.exists():
        print(f"writing {folder}", file=sys.stderr)
        partial = folder.with_suffix(".part")
        subprocess.run(["rm", "-rf", partial], check=True)
        write_pair(partial, llama_config(arguments.shape), kind)
        partial.rename(folder)
    peer = LlamaCpp(packages, folder / "model.gguf", arguments)
    peer.measure(arguments)  # does not count: it touches what later ones find in memory
    found, shares = {"terse": [], "llama.cpp": []}, []
    for _ in range(arguments.pairs):
        ours, share = measure_terse(folder, arguments)
        found["terse"].append(ours)
        shares.append(share)
        found["llama.cpp"].append(peer.measure(arguments))
        if arguments.llama_bench:
            theirs = measure_llama_bench(folder / "model.gguf", arguments)
            found.setdefault("ik_llama.cpp", []).append(theirs)
        print({name: rates[-1] for name, rates in found.items()},
              f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    peer.close()
    print(f"llama.cpp {peer.about}")
    report(kind, arguments, peer.about, found, shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="llama-1b")
    parser.add_argument("--type", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--terse", default=str(ROOT / "build/release/terse"))
    parser.add_argument("--llama-bench", type=pathlib.Path, help="of ik_llama.cpp, if it was built")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or pathlib.Path(temporary)).resolve()
        packages = work / "llama.cpp"
        install(packages)
        for kind in arguments.type:
            compare(kind, packages, arguments, work)


if __name__ == "__main__":
    main()
