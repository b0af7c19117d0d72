#!/usr/bin/env python3
"""Our GPTQ of a whole model beside the published flow (IST-DASLab/gptq, llama.py) in one run.

How both run, and what is counted of each, is said in published_flow.py. Prints the median ratio of
elapsed and of processor seconds with their spreads (the second holds on a machine that does other
work too, with --threads 1 and passive waiting), and what our evaluator says of both results beside
the dense model.

    bench/gptq_model.py --gptq DIR [--terse build/release/terse] [--true-sequential]

DIR is a checkout of https://github.com/IST-DASLab/gptq. Needs PyTorch and numpy.
"""
import argparse

import published_flow
from gptq_solver import load_published


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gptq", required=True, help="checkout of IST-DASLab/gptq")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--group-size", type=int, default=128)
    published_flow.add_arguments(parser)
    arguments = parser.parse_args()
    published_flow.set_threads(arguments)
    module = load_published(arguments.gptq, "gptq")
    bits, group_size = arguments.bits, arguments.group_size

    def make_solver(layer):
        solver = module.GPTQ(layer)
        solver.quantizer = module.Quantizer()
        solver.quantizer.configure(bits, perchannel=True, sym=False, mse=False)
        return solver

    def solve(solver):
        solver.fasterquant(percdamp=0.01, groupsize=group_size)

    options = ["--method", "gptq", "--bits", str(bits), "--group-size", str(group_size)]
    published_flow.compare(arguments, f"{bits} bits, group {group_size}", options, make_solver,
                           solve)


if __name__ == "__main__":
    main()
