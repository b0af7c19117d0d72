#!/usr/bin/env python3
"""Our SparseGPT of a whole model beside the published flow (IST-DASLab/sparsegpt, llama.py) in one
run.

How both run, and what is counted of each, is said in published_flow.py. Prints the median ratio of
elapsed and of processor seconds with their spreads, what our evaluator says of both results beside
the dense model, and the share of zeros in the blocks' linears. Fails when ours has fewer zeros, or
diverges from the dense model by over 5 % more: a ratio of unlike results would mean nothing.

    bench/sparsegpt_model.py --sparsegpt DIR [--structure 2:4] [--terse build/release/terse]

DIR is a checkout of https://github.com/IST-DASLab/sparsegpt. Needs PyTorch and numpy.
"""
import argparse
import sys

import published_flow
from gptq_solver import load_published

MOST_DIVERGENCE = 1.05  # of ours, times that of the published flow
FEWER_ZEROS = 1e-3


def sparsities(tensors, report):
    """Share of zeros in the linears that were pruned: of the rival and of ours."""
    total, rival, own = 0, 0, 0
    for linear in report["linears"]:
        weight = tensors[linear["module"] + ".weight"]
        total += weight.numel()
        rival += (weight == 0).sum().item()
        own += linear["sparsity"] * weight.numel()
    return rival / total, own / total


def check(rival_kl, own_kl, rival_zeros, own_zeros):
    print(f"  zeros: published {rival_zeros:.4f}, ours {own_zeros:.4f}")
    if own_zeros < rival_zeros - FEWER_ZEROS:
        sys.exit("bench/sparsegpt_model.py: ours has fewer zeros")
    if own_kl > MOST_DIVERGENCE * rival_kl:
        sys.exit(f"bench/sparsegpt_model.py: ours diverges more: KL {own_kl}, "
                 f"where the published flow leaves {rival_kl}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsegpt", required=True, help="checkout of IST-DASLab/sparsegpt")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--structure", default="unstructured")
    published_flow.add_arguments(parser)
    arguments = parser.parse_args()
    published_flow.set_threads(arguments)
    module = load_published(arguments.sparsegpt, "sparsegpt")
    structured = arguments.structure != "unstructured"
    zeros, group = map(int, arguments.structure.split(":")) if structured else (0, 0)

    def solve(solver):
        solver.fasterprune(arguments.sparsity, prunen=zeros, prunem=group, percdamp=0.01,
                           blocksize=128)

    options = ["--method", "sparsegpt", "--structure", arguments.structure]
    if not structured:
        options += ["--sparsity", str(arguments.sparsity)]
    result = published_flow.compare(
        arguments, arguments.structure if structured else f"sparsity {arguments.sparsity}",
        options, module.SparseGPT, solve)
    check(result.rival_quality["kl"], result.own_quality["kl"],
          *sparsities(result.rival_tensors, result.own_report))


if __name__ == "__main__":
    main()
