"""Decodes pack-quantized and int-quantized weights from the published layout alone, and compares them.

Usage: decode_pack_quantized.py DIRECTORY. It holds model.safetensors with the tensors of each
module and the weight that is expected as <module>.expected, and modules.json with the `weights`
part of each module's quantization_config.
"""

import json
import struct
import sys

import numpy as np


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    types = {"I8": "<i1", "I32": "<i4", "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4"}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        tensors[name] = array
    return tensors


def unpack(words, bits, count):
    """Rows of int32 words to rows of `count` unsigned elements: element i at bit i * bits."""
    stream = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    elements = stream[:, : count * bits].reshape(len(words), count, bits)
    return (elements * (1 << np.arange(bits))).sum(axis=2)


def decode(tensors, module, weights):
    bits, offset = weights["num_bits"], 1 << (weights["num_bits"] - 1)
    packed = f"{module}.weight_packed" in tensors
    if packed:
        rows, columns = tensors[f"{module}.weight_shape"]
        values = unpack(tensors[f"{module}.weight_packed"], bits, columns) - offset
    else:
        values = tensors[f"{module}.weight"].astype(np.int64)
        rows, columns = values.shape
    scale = tensors[f"{module}.weight_scale"].astype(np.float32)
    zero = np.zeros(scale.shape, np.int64)
    if not weights["symmetric"]:
        zero = tensors[f"{module}.weight_zero_point"].astype(np.int64)
        if packed and weights["strategy"] != "tensor":
            zero = unpack(zero.astype("<i4").T, bits, rows).T - offset
    if weights["strategy"] == "group":
        group = np.arange(columns) // weights["group_size"]
        if weights["actorder"] == "group":
            group = tensors[f"{module}.weight_g_idx"]
        scale, zero = scale[:, group], zero[:, group]
    return scale * (values - zero).astype(np.float32)


def main(directory):
    tensors = read_safetensors(f"{directory}/model.safetensors")
    with open(f"{directory}/modules.json") as file:
        modules = json.load(file)
    wrong = [
        f"{module} {weights}"
        for module, weights in modules.items()
        if not np.array_equal(decode(tensors, module, weights), tensors[f"{module}.expected"])
    ]
    print("\n".join(wrong))
    return 1 if wrong or not modules else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
