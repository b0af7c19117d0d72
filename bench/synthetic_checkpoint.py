#!/usr/bin/env python3
"""Writes a checkpoint of random weights (standard deviation 0.02) of a named shape, in bfloat16.

    bench/synthetic_checkpoint.py OUTPUT [--shape llama-1b] [--blocks 24] [--seed 0]

Llama architecture, sharded with an index, one tensor in memory at a time; no tokenizer. Norms are
ones. Needs numpy.
"""
import argparse
import json
import pathlib

import numpy

from safetensors_numpy import write_file

SHAPES = {
    "tiny": dict(hidden_size=256, num_hidden_layers=6, num_attention_heads=4,
                 num_key_value_heads=2, intermediate_size=768, vocab_size=4096,
                 max_position_embeddings=256, rope_theta=10000.0),
    "llama-1b": dict(hidden_size=2048, num_hidden_layers=22, num_attention_heads=32,
                     num_key_value_heads=4, intermediate_size=5632, vocab_size=32000,
                     max_position_embeddings=2048, rope_theta=10000.0),
    "llama-8b": dict(hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
                     num_key_value_heads=8, intermediate_size=14336, vocab_size=128256,
                     max_position_embeddings=8192, rope_theta=500000.0),
}


def block_shapes(config, index):
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    prefix = f"model.layers.{index}."
    shapes = {"input_layernorm": [hidden],
              "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [keys, hidden],
              "self_attn.v_proj": [keys, hidden], "self_attn.o_proj": [hidden, hidden],
              "post_attention_layernorm": [hidden],
              "mlp.gate_proj": [intermediate, hidden], "mlp.up_proj": [intermediate, hidden],
              "mlp.down_proj": [hidden, intermediate]}
    return {f"{prefix}{name}.weight": shape for name, shape in shapes.items()}


def shards(config, blocks_per_shard):
    """Shapes of the tensors of each file: embedding, blocks by the handful, norm and head."""
    table = [config["vocab_size"], config["hidden_size"]]
    yield {"model.embed_tokens.weight": table}
    for first in range(0, config["num_hidden_layers"], blocks_per_shard):
        shapes = {}
        for index in range(first, min(first + blocks_per_shard, config["num_hidden_layers"])):
            shapes.update(block_shapes(config, index))
        yield shapes
    yield {"model.norm.weight": [config["hidden_size"]], "lm_head.weight": table}


def write_checkpoint(output, config, seed=0, blocks_per_shard=6):
    """Returns the bytes of all tensors."""
    generator = numpy.random.default_rng(seed)

    def values(name, shape):
        if len(shape) == 1:
            return numpy.ones(shape, numpy.float32)
        return numpy.float32(0.02) * generator.standard_normal(shape, numpy.float32)

    output.mkdir(parents=True)
    files = list(shards(config, blocks_per_shard))
    weight_map, total = {}, 0
    for index, shapes in enumerate(files, 1):
        name = f"model-{index:05d}-of-{len(files):05d}.safetensors"
        total += write_file(output / name, shapes, "BF16", values)
        weight_map.update(dict.fromkeys(shapes, name))
    (output / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2))
    (output / "config.json").write_text(json.dumps(config, indent=2))
    return total


def llama_config(shape, blocks=None):
    config = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu",
                  rms_norm_eps=1e-5, tie_word_embeddings=False, torch_dtype="bfloat16",
                  bos_token_id=1, **SHAPES[shape])
    if blocks is not None:
        config["num_hidden_layers"] = blocks
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--shape", choices=SHAPES, default="llama-1b")
    parser.add_argument("--blocks", type=int, help="instead of the shape's own number")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    total = write_checkpoint(arguments.output, llama_config(arguments.shape, arguments.blocks),
                             arguments.seed)
    print(f"{arguments.output}: {total} bytes of tensors")


if __name__ == "__main__":
    main()
