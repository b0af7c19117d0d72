"""The published flow of IST-DASLab's one-shot methods (llama.py of gptq and of sparsegpt) around
their published classes, and our whole process beside it, for the benchmarks of whole models.

The flow, block by block: all calibration windows pass through the block while hooks collect the
Hessian of every linear (add_batch); every linear is solved; all windows pass through the
compressed block. The class is the published one; the Llama forward pass around it is written here,
in float32, without gradients, several windows at a time. Of the rival the time from reading the
checkpoint to the last block counts, without starting Python and without writing a result; of ours
the whole process, with writing. They run in alternation.
"""
import contextlib
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
import typing

import numpy
import torch
from torch.nn import functional

from gptq_solver import gemm_rate
from safetensors_numpy import read_checkpoint, write_file

STAGES = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
          ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]
NAMES = [name for stage in STAGES for name in stage]


class Block:
    """A Llama block; what calibration must see are torch.nn.Linear modules."""

    def __init__(self, config, tensors, index):
        prefix = f"model.layers.{index}."
        self.config = config
        self.norms = [tensors[f"{prefix}{name}_layernorm.weight"]
                      for name in ("input", "post_attention")]
        self.linears = {}
        for name in NAMES:
            weight = tensors[f"{prefix}{name}.weight"]
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            layer.weight.data = weight
            self.linears[name] = layer

    def norm(self, x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * weight

    def attention(self, x, rotation, mask):
        heads, shared = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size = self.config["head_dim"]
        windows, length, _ = x.shape

        def split(name, count):
            y = self.linears[name](x).view(windows, length, count, size).transpose(1, 2)
            if name == "self_attn.v_proj":
                return y
            turned = torch.cat((-y[..., size // 2:], y[..., :size // 2]), -1)
            return y * rotation[0] + turned * rotation[1]

        query = split("self_attn.q_proj", heads)
        key, value = (split(f"self_attn.{name}_proj", shared)
                      .repeat_interleave(heads // shared, 1) for name in "kv")
        scores = (query * size**-0.5) @ key.transpose(2, 3) + mask
        out = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(windows, length, -1)
        return self.linears["self_attn.o_proj"](out)

    def __call__(self, x, rotation, mask):
        x = x + self.attention(self.norm(x, self.norms[0]), rotation, mask)
        y = self.norm(x, self.norms[1])
        gate = functional.silu(self.linears["mlp.gate_proj"](y))
        return x + self.linears["mlp.down_proj"](gate * self.linears["mlp.up_proj"](y))


def positions(config, length):
    """Cosines and sines of the rotary positions, and the causal mask."""
    size = config["head_dim"]
    frequencies = config["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    mask = torch.full((length, length), float("-inf")).triu(1)
    return (angles.cos(), angles.sin()), mask


def published_block(block, batches, context, arguments, make_solver, solve):
    """Compresses a block in place and returns what it makes of the batches then."""
    for names in STAGES if arguments.true_sequential else [NAMES]:
        solvers = {name: make_solver(block.linears[name]) for name in names}
        hooks = [block.linears[name].register_forward_hook(
            lambda _, x, y, name=name: solvers[name].add_batch(x[0], y)) for name in names]
        for batch in batches:
            block(batch, *context)
        for hook in hooks:
            hook.remove()
        for name in names:
            solve(solvers[name])
            solvers[name].free()
    return [block(batch, *context) for batch in batches]


def published_run(arguments, make_solver, solve):
    """The weights that the published flow leaves."""
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        config = json.loads((arguments.model / "config.json").read_text())
        tensors = {name: torch.from_numpy(values)
                   for name, values in read_checkpoint(arguments.model).items()}
        ids = torch.from_numpy(numpy.load(arguments.calibration_tokens).astype(numpy.int64))
        ids = ids[:len(ids) // arguments.window * arguments.window].view(-1, arguments.window)
        batches = list(tensors["model.embed_tokens.weight"][ids].split(arguments.batch))
        context = positions(config, arguments.window)
        for index in range(config["num_hidden_layers"]):
            block = Block(config, tensors, index)
            batches = published_block(block, batches, context, arguments, make_solver, solve)
            for name, layer in block.linears.items():
                tensors[f"model.layers.{index}.{name}.weight"] = layer.weight.data
    return tensors


def own_run(arguments, options, output):
    """The report of our whole process."""
    command = [arguments.terse, "compress", arguments.model, "-o", output, "--force", *options,
               "--calibration-tokens", arguments.calibration_tokens, "--json"]
    if not arguments.own_true_sequential:
        command.append("--no-true-sequential")
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def timed(function, *arguments):
    """Elapsed seconds, processor seconds (of children too), and the result."""
    def processor():
        return sum(os.times()[:4])

    start, used = time.perf_counter(), processor()
    result = function(*arguments)
    return time.perf_counter() - start, processor() - used, result


def quality(arguments, model):
    """Perplexity, and divergence from the dense model, of a directory."""
    command = [arguments.terse, "eval", "divergence", arguments.model, model, "--tokens",
               arguments.test_tokens, "--window", str(arguments.window), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def store(arguments, tensors, directory):
    """The rival's result as a checkpoint in float32."""
    directory.mkdir()
    for path in arguments.model.glob("*.json"):
        shutil.copy(path, directory)
    write_file(directory / "model.safetensors",
               {name: tensor.shape for name, tensor in tensors.items()}, "F32",
               lambda name, _: tensors[name].numpy())


class Comparison(typing.NamedTuple):
    """What both left in the last pair."""

    rival_tensors: dict
    own_report: dict
    rival_quality: dict
    own_quality: dict


def add_arguments(parser):
    parser.add_argument("--terse", default="build/release/terse")
    parser.add_argument("--model", type=pathlib.Path, default="models/docs-llama")
    parser.add_argument("--calibration-tokens",
                        default="tests/oracle/docs-llama/calibration_ids.npy")
    parser.add_argument("--test-tokens", default="tests/oracle/docs-llama/test_ids.npy")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8, help="windows that the rival takes at once")
    parser.add_argument("--true-sequential", action="store_true", help="of the rival")
    parser.add_argument("--no-own-true-sequential", action="store_false",
                        dest="own_true_sequential")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)


def set_threads(arguments):
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)


def compare(arguments, title, options, make_solver, solve):
    """Runs both in alternation (the first pair warms up and is dropped) and prints the ratios of
    seconds and what our evaluator says of both results. `make_solver(layer)` is a published solver,
    `solve(solver)` lets it work; `options` are ours. Returns a Comparison."""
    rate = gemm_rate()
    with tempfile.TemporaryDirectory() as directory:
        own_output, rival_output = (pathlib.Path(directory) / name for name in ("own", "rival"))
        pairs = []
        for _ in range(arguments.pairs + 1):
            *rival, tensors = timed(published_run, arguments, make_solver, solve)
            *own, report = timed(own_run, arguments, options, own_output)
            pairs.append((rival, own))
        store(arguments, tensors, rival_output)
        print(f"{arguments.model}, {title}, {report['calibration_tokens']} tokens, "
              f"{arguments.threads} threads, {arguments.pairs} pairs; "
              f"GEMM of the machine {rate:.0f} GFLOP/s")
        print_pairs(arguments, pairs[1:])
        results = [quality(arguments, model) for model in (rival_output, own_output)]
    for name, result in zip(("published", "ours"), results):
        print(f"  {name:10s} {json.dumps(result)}")
    return Comparison(tensors, report, *results)


def print_pairs(arguments, pairs):
    flow = "true-sequential" if arguments.true_sequential else "a block at once"
    own_flow = "true-sequential" if arguments.own_true_sequential else "a block at once"
    for index, clock in enumerate(("elapsed", "processor")):
        rivals, owns = ([pair[side][index] for pair in pairs] for side in (0, 1))
        ratios = [rival / own for rival, own in zip(rivals, owns)]
        print(f"  {clock}: published ({flow}) median {statistics.median(rivals):.2f} s, "
              f"ours ({own_flow}) {statistics.median(owns):.2f} s; "
              f"ratio median {statistics.median(ratios):.2f}, "
              f"{min(ratios):.2f} to {max(ratios):.2f}")
