"""Reads and writes safetensors files with numpy alone, for the benchmarks."""
import json
import pathlib

import numpy

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}


def widen(data, dtype):
    """Little-endian bytes as float32."""
    if dtype == "BF16":
        return (numpy.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return numpy.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[dtype]).astype(numpy.float32)


def narrow(values, dtype):
    """Float32 values as bytes; bfloat16 is rounded to nearest, ties to even."""
    if dtype == "BF16":
        bits = numpy.ascontiguousarray(values, "<f4").view("<u4")
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
    return numpy.ascontiguousarray(values, {"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def read_checkpoint(directory):
    """All tensors of a directory as float32 arrays by name."""
    tensors = {}
    for path in sorted(pathlib.Path(directory).glob("*.safetensors")):
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        for name, entry in json.loads(data[8:start]).items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            values = widen(data[start + begin:start + end], entry["dtype"])
            tensors[name] = values.reshape(entry["shape"])
    return tensors


def write_file(path, shapes, dtype, values):
    """Writes tensors of the given shapes one by one: `values(name, shape)` makes each."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + int(numpy.prod(shape)) * WIDTHS[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            file.write(narrow(values(name, shape), dtype))
    return end
