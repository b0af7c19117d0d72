#!/usr/bin/env python3
"""Training steps of docs-llama by `terse train` beside the same model in PyTorch, in one run.

Both train all weights in float32 on the same windows with AdamW and clipped gradients; denormals are
flushed, the threads are the same, and PyTorch takes its fused ways (foreach AdamW). Seconds of a
step come from differences between runs of two lengths, so that start-up does not count; they run in
alternation. Prints the median ratio with its spread, both with and without recomputation and
chunked loss, and the peaks of private memory.

    bench/training.py [--terse build/release/terse] [--model models/docs-llama]

Needs PyTorch and numpy.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy
import torch
import torch.nn.functional as functional

from safetensors_numpy import read_checkpoint


class Llama(torch.nn.Module):
    """transformers' LlamaForCausalLM in its plain form: same operations, same order."""

    def __init__(self, config, tensors):
        super().__init__()
        self.config = config
        self.parts = torch.nn.ParameterDict({
            name.replace(".", "/"): torch.nn.Parameter(torch.from_numpy(value.astype(numpy.float32)))
            for name, value in tensors.items()})
        heads = config["num_attention_heads"]
        self.head_dim = config.get("head_dim", config["hidden_size"] // heads)

    def weight(self, name):
        return self.parts[name.replace(".", "/") + "/weight"]

    def norm(self, name, x):
        variance = x.pow(2).mean(-1, keepdim=True)
        return self.weight(name) * (x * torch.rsqrt(variance + self.config["rms_norm_eps"]))

    def linear(self, name, x):
        return functional.linear(x, self.weight(name))

    def attend(self, layer, x, cosine, sine, mask):
        batch, length, _ = x.shape

        def heads(name):
            return self.linear(f"{layer}.self_attn.{name}_proj", x).view(
                batch, length, -1, self.head_dim).transpose(1, 2)

        def rotate(y):
            half = y.shape[-1] // 2
            return y * cosine + torch.cat((-y[..., half:], y[..., :half]), -1) * sine

        query, key, value = rotate(heads("q")), rotate(heads("k")), heads("v")
        sharing = query.shape[1] // key.shape[1]
        key, value = (y.repeat_interleave(sharing, 1) for y in (key, value))
        scores = query @ key.transpose(2, 3) / math.sqrt(self.head_dim) + mask
        mixed = (functional.softmax(scores, -1) @ value).transpose(1, 2).reshape(batch, length, -1)
        return self.linear(f"{layer}.self_attn.o_proj", mixed)

    def forward(self, ids):
        length = ids.shape[1]
        half = torch.arange(0, self.head_dim, 2).float() / self.head_dim
        angles = torch.outer(torch.arange(length).float(), self.config["rope_theta"] ** -half)
        angles = torch.cat((angles, angles), -1)
        mask = torch.full((length, length), float("-inf")).triu(1)
        x = functional.embedding(ids, self.weight("model.embed_tokens"))
        for index in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{index}"
            x = x + self.attend(layer, self.norm(f"{layer}.input_layernorm", x), angles.cos(),
                                angles.sin(), mask)
            y = self.norm(f"{layer}.post_attention_layernorm", x)
            gate = functional.silu(self.linear(f"{layer}.mlp.gate_proj", y))
            x = x + self.linear(f"{layer}.mlp.down_proj",
                                gate * self.linear(f"{layer}.mlp.up_proj", y))
        return self.linear("model.embed_tokens", self.norm("model.norm", x))


class PrivateMemory(threading.Thread):
    """Watches the private (anonymous) memory of this process; `peak` is in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self):
        while True:
            for line in pathlib.Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)
            time.sleep(0.01)


def rival(arguments):
    """Seconds of every step and the peak of memory, as JSON."""
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    folder = pathlib.Path(arguments.model)
    config = json.loads((folder / "config.json").read_text())
    model = Llama(config, read_checkpoint(folder))
    memory = PrivateMemory()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, foreach=True)
    ids = torch.from_numpy(numpy.load(arguments.tokens).astype(numpy.int64))
    windows = ids[: len(ids) // (arguments.window + 1) * (arguments.window + 1)].view(
        -1, arguments.window + 1)
    seconds, losses = [], []
    for step in range(arguments.steps):
        start = time.perf_counter()
        batch = windows[step * arguments.batch:(step + 1) * arguments.batch]
        logits = model(batch[:, :-1])
        loss = functional.cross_entropy(logits.reshape(-1, logits.shape[-1]),
                                        batch[:, 1:].reshape(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "loss": losses, "peak": memory.peak}))


def run_rival(arguments, tokens):
    command = [sys.executable, __file__, "--rival", "--tokens", str(tokens), "--model",
               arguments.model, "--steps", str(arguments.steps), "--batch", str(arguments.batch),
               "--window", str(arguments.window), "--threads", str(arguments.threads)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def run_own(arguments, tokens, folder, steps, options):
    command = [arguments.terse, "train", arguments.model, "-o", str(folder / "out"), "--force",
               "--restart", "--tokens", str(tokens), "--max-steps", str(steps), "--batch-size",
               str(arguments.batch), "--window", str(arguments.window), "--learning-rate", "1e-4",
               "--save-steps", "1000000", "--threads", str(arguments.threads), "--json", *options]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                            env=dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))).stdout
    return json.loads(output)


def compare(arguments, tokens, folder, label, options):
    short = arguments.steps // 4
    ratios, own_peak, rival_peak = [], 0, 0
    for _ in range(arguments.pairs):
        other = run_rival(arguments, tokens)
        rival_step = statistics.mean(other["seconds"][short:])
        few = run_own(arguments, tokens, folder, short, options)
        many = run_own(arguments, tokens, folder, arguments.steps, options)
        own_step = (many["seconds"] - few["seconds"]) / (arguments.steps - short)
        ratios.append(rival_step / own_step)
        own_peak = max(own_peak, many["peak_memory_bytes"])
        rival_peak = max(rival_peak, other["peak"])
        print(f"  PyTorch {rival_step:.3f} s a step, ours {own_step:.3f} s; loss of the last tenth: "
              f"PyTorch {statistics.mean(other['loss'][-max(1, arguments.steps // 10):]):.4f}, "
              f"ours {many['loss']:.4f}", flush=True)
    print(f"{label}: ratio median {statistics.median(ratios):.2f}, {min(ratios):.2f} to "
          f"{max(ratios):.2f} ({arguments.pairs} pairs); peak of private memory: PyTorch "
          f"{rival_peak / 1e6:.0f} MB, ours {own_peak / 1e6:.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--terse", default="build/release/terse")
    parser.add_argument("--model", default="models/docs-llama")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", help=argparse.SUPPRESS)
    parser.add_argument("--rival", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rival:
        rival(arguments)
        return
    vocabulary = json.loads((pathlib.Path(arguments.model) / "config.json").read_text())["vocab_size"]
    count = arguments.steps * arguments.batch * (arguments.window + 1)
    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory)
        tokens = folder / "tokens.npy"
        numpy.save(tokens, numpy.random.default_rng(1).integers(0, vocabulary, count,
                                                                dtype=numpy.int32))
        print(f"{arguments.model}, {arguments.batch} windows of {arguments.window} tokens a step:")
        compare(arguments, tokens, folder, "without recomputation", [])
        compare(arguments, tokens, folder, "with recomputation", ["--gradient-checkpointing"])


if __name__ == "__main__":
    main()
