"""Writes one random Llama model twice, with numpy alone: as a GGUF file of llama.cpp (Q4_0 or Q8_0
in every matrix) and as a checkpoint of compressed-tensors with the same codes and scales."""
import json
import struct

import numpy

BLOCK = 32  # weights that share a float16 scale
ALIGNMENT = 32  # of a tensor in a GGUF file
CHUNK = 2048  # rows of a matrix that are in memory at a time
F32, Q4_0, Q8_0 = 0, 2, 8  # ggml_type, also llama_ftype of Q4_0
KINDS = {"Q4_0": (4, Q4_0, 2), "Q8_0": (8, Q8_0, 7)}  # bits, ggml_type, llama_ftype


def matrices(config):
    """GGUF name, Hugging Face name, rows, columns, and the heads whose rows llama.cpp pairs."""
    hidden, intermediate = config["hidden_size"], config["intermediate_size"]
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    keys = hidden // heads * key_heads
    vocabulary = config["vocab_size"]
    yield "token_embd", "model.embed_tokens", vocabulary, hidden, 0
    for block in range(config["num_hidden_layers"]):
        ours, theirs = f"model.layers.{block}", f"blk.{block}"
        yield f"{theirs}.attn_q", f"{ours}.self_attn.q_proj", hidden, hidden, heads
        yield f"{theirs}.attn_k", f"{ours}.self_attn.k_proj", keys, hidden, key_heads
        yield f"{theirs}.attn_v", f"{ours}.self_attn.v_proj", keys, hidden, 0
        yield f"{theirs}.attn_output", f"{ours}.self_attn.o_proj", hidden, hidden, 0
        yield f"{theirs}.ffn_gate", f"{ours}.mlp.gate_proj", intermediate, hidden, 0
        yield f"{theirs}.ffn_up", f"{ours}.mlp.up_proj", intermediate, hidden, 0
        yield f"{theirs}.ffn_down", f"{ours}.mlp.down_proj", hidden, intermediate, 0
    yield "output", "lm_head", vocabulary, hidden, 0


def norms(config):
    yield "output_norm", "model.norm"
    for block in range(config["num_hidden_layers"]):
        ours, theirs = f"model.layers.{block}", f"blk.{block}"
        yield f"{theirs}.attn_norm", f"{ours}.input_layernorm"
        yield f"{theirs}.ffn_norm", f"{ours}.post_attention_layernorm"


def random_codes(generator, rows, columns, bits):
    """Signed codes [rows, blocks, 32] and float16 scales [rows, blocks, 1] of N(0, 0.02^2)."""
    values = generator.standard_normal((rows, columns // BLOCK, BLOCK), numpy.float32)
    values *= numpy.float32(0.02)
    largest = 2 ** (bits - 1) - 1
    scales = (numpy.abs(values).max(axis=2, keepdims=True) / largest).astype(numpy.float16)
    values /= scales
    numpy.rint(values, out=values)
    return numpy.clip(values, -largest, largest, out=values).astype(numpy.int8), scales


def ggml_blocks(codes, scales, bits):
    """Blocks as ggml has them: the scale, then Q8_0's signed codes or Q4_0's unsigned ones, of which
    element i + 16 lies in the upper half of byte i."""
    if bits == 4:
        unsigned = (codes + 8).astype(numpy.uint8)
        codes = unsigned[..., :16] | unsigned[..., 16:] << 4
    return numpy.concatenate([scales.view(numpy.uint8), codes.view(numpy.uint8)], axis=2)


def packed_words(codes, bits):
    """Codes as the pack-quantized layout has them: unsigned, the first in a word's lowest bits."""
    unsigned = (codes.view(numpy.uint8) + numpy.uint8(2 ** (bits - 1))).reshape(len(codes), -1)
    return unsigned if bits == 8 else unsigned[:, 0::2] | unsigned[:, 1::2] << 4


def paired(rows, heads):
    """The order of rows of q and k in GGUF: llama.cpp turns neighbours, Hugging Face halves."""
    order = numpy.arange(rows)
    return order.reshape(heads, 2, -1).swapaxes(1, 2).reshape(rows) if heads else order


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, data):
    return text(key) + struct.pack("<I", kind) + data


def number(key, value):
    return pair(key, 4, struct.pack("<I", value))


def real(key, value):
    return pair(key, 6, struct.pack("<f", value))


def array(key, kind, data, count):
    return pair(key, 9, struct.pack("<IQ", kind, count) + data)


def metadata(config, file_type):
    """The keys of a Llama model and of a vocabulary that stands for nothing."""
    vocabulary = config["vocab_size"]
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = special + [f"t{i}" for i in range(len(special), vocabulary)]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (vocabulary - len(special))
    return [
        pair("general.architecture", 8, text("llama")),
        number("general.alignment", ALIGNMENT),
        number("general.file_type", file_type),
        number("general.quantization_version", 2),
        number("llama.vocab_size", vocabulary),
        number("llama.context_length", config["max_position_embeddings"]),
        number("llama.embedding_length", config["hidden_size"]),
        number("llama.block_count", config["num_hidden_layers"]),
        number("llama.feed_forward_length", config["intermediate_size"]),
        number("llama.rope.dimension_count", config["hidden_size"] // config["num_attention_heads"]),
        number("llama.attention.head_count", config["num_attention_heads"]),
        number("llama.attention.head_count_kv", config["num_key_value_heads"]),
        real("llama.rope.freq_base", config["rope_theta"]),
        real("llama.attention.layer_norm_rms_epsilon", config["rms_norm_eps"]),
        pair("tokenizer.ggml.model", 8, text("llama")),
        array("tokenizer.ggml.tokens", 8, b"".join(map(text, tokens)), vocabulary),
        array("tokenizer.ggml.scores", 6, bytes(4 * vocabulary), vocabulary),
        array("tokenizer.ggml.token_type", 5, struct.pack(f"<{vocabulary}i", *kinds), vocabulary),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.eos_token_id", 2),
    ]


def gguf_header(config, bits, kind, file_type):
    tensors, offset = [], 0
    block_bytes = 2 + BLOCK * bits // 8
    for theirs, _ in norms(config):
        tensors.append(text(f"{theirs}.weight") +
                       struct.pack("<IQIQ", 1, config["hidden_size"], F32, offset))
        offset += 4 * config["hidden_size"]
    for theirs, _, rows, columns, _ in matrices(config):
        tensors.append(text(f"{theirs}.weight") +
                       struct.pack("<IQQIQ", 2, columns, rows, kind, offset))
        offset += rows * columns // BLOCK * block_bytes
        assert offset % ALIGNMENT == 0
    pairs = metadata(config, file_type)
    header = (b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) +
              b"".join(tensors))
    return header + bytes(-len(header) % ALIGNMENT)


def safetensors_header(config, bits):
    header, offset = {"__metadata__": {"format": "pt"}}, 0

    def add(name, dtype, shape, size):
        nonlocal offset
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size

    for _, ours in norms(config):
        add(f"{ours}.weight", "F32", [config["hidden_size"]], 4 * config["hidden_size"])
    for _, ours, rows, columns, _ in matrices(config):
        add(f"{ours}.weight_shape", "I64", [2], 16)
        words, groups = columns * bits // 32, columns // BLOCK
        add(f"{ours}.weight_packed", "I32", [rows, words], 4 * rows * words)
        add(f"{ours}.weight_scale", "F16", [rows, groups], 2 * rows * groups)
    data = json.dumps(header).encode()
    data += b" " * (-len(data) % 8)
    return struct.pack("<Q", len(data)) + data


def quantization_config(bits):
    weights = dict(num_bits=bits, type="int", symmetric=True, strategy="group", group_size=BLOCK,
                   dynamic=False)
    group = dict(targets=["Linear", "model.embed_tokens", "lm_head"], weights=weights,
                 input_activations=None, output_activations=None, format="pack-quantized")
    return dict(quant_method="compressed-tensors", format="pack-quantized",
                quantization_status="compressed", config_groups={"group_0": group}, ignore=[])


def write_matrix(generator, rows, columns, heads, bits, gguf, safetensors):
    safetensors.write(struct.pack("<qq", rows, columns))
    order, scales = paired(rows, heads), []
    blocks = numpy.empty((rows, columns // BLOCK, 2 + BLOCK * bits // 8), numpy.uint8)
    for first in range(0, rows, CHUNK):
        count = min(CHUNK, rows - first)
        codes, scale = random_codes(generator, count, columns, bits)
        blocks[first:first + count] = ggml_blocks(codes, scale, bits)
        safetensors.write(packed_words(codes, bits).tobytes())
        scales.append(scale.tobytes())
    safetensors.write(b"".join(scales))
    gguf.write(blocks[order].tobytes())


def write_pair(directory, config, kind, seed=0):
    """Writes `model.gguf` and, beside it, `model.safetensors` and `config.json` into a new folder."""
    bits, ggml_type, file_type = KINDS[kind]
    generator = numpy.random.default_rng(seed)
    directory.mkdir(parents=True)
    ones = numpy.ones(config["hidden_size"], "<f4").tobytes()
    with open(directory / "model.gguf", "wb") as gguf, \
            open(directory / "model.safetensors", "wb") as safetensors:
        gguf.write(gguf_header(config, bits, ggml_type, file_type))
        safetensors.write(safetensors_header(config, bits))
        for _ in norms(config):
            gguf.write(ones)
            safetensors.write(ones)
        for _, _, rows, columns, heads in matrices(config):
            write_matrix(generator, rows, columns, heads, bits, gguf, safetensors)
    config = dict(config, quantization_config=quantization_config(bits))
    (directory / "config.json").write_text(json.dumps(config, indent=2))
