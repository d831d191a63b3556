"""How files are spoiled: bytes anywhere, numbers in headers, values in JSON and TOML. All of it drawn from a generator.

The numbers are those at which programs break: zero, minus one, the largest of each width, one more and one less. The
values are those that a reader may mistake for the one that belongs there: a text for a number, a list for a table.
"""

import json
import struct
from typing import Any

import numpy as np

Random = np.random.Generator

EDGES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
         0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
MANY_DIGITS = "9" * 5000
# As they stand in JSON, since not all are values of Python's: 1e400, 5000 digits, a lone surrogate.
VALUES = (
    "null", "true", "false", "0", "1", "2", "3", "-1", "-0.0", "0.5", "1e-300", "1e300", "1e400", "-1e400", "NaN",
    "Infinity", "16", "1000", "65536", "10000000", "100000000", "4294967296", "9223372036854775808", MANY_DIGITS,
    '""', '"8"', '"xxxxxxxx"', '"conv"', '"\\ud800"', '"a\\nb\\u001b[31m"', '"../../etc/passwd"', "[]", "{}", "[[]]",
    "[0]", "[-1]", "[1,1]", '["2"]', "[2,2,2,2,2,2,2,2]", "[1e400]", '{"a":1}', "[" * 40 + "]" * 40,
    "[" + ",".join(["1"] * 2000) + "]", '"' + "x" * 5000 + '"', "[" * 20000,
)  # fmt: skip


def pick(rng: Random, choices: Any) -> Any:
    """One of a sequence."""
    return choices[int(rng.integers(len(choices)))]


def spoiled_bytes(rng: Random, data: bytes, header: int = 200, times: int = 0) -> bytes:
    """The same with one to four things done to it, half of them to its first `header` bytes."""
    out = bytearray(data)
    for _ in range(times or int(rng.integers(1, 5))):
        near = rng.random() < 0.5
        at = int(rng.integers(max(1, min(len(out), header) if near else len(out))))
        length = int(min(rng.geometric(0.02), max(1, len(out) - at)))
        match int(rng.integers(10)):
            case 0 if out:
                out[at % len(out)] ^= 1 << int(rng.integers(8))
            case 1 if out:
                out[at % len(out)] = int(rng.integers(256))
            case 2 | 3 | 4:
                number = edge_number(rng)
                out[at : at + len(number)] = number
            case 5:
                del out[at:]
            case 6:
                del out[at : at + length]
            case 7:
                out[at:at] = rng.bytes(length)
            case 8:
                out[at : at + length] = bytes(length)
            case 9:
                out[at:at] = out[at : at + length]
    return bytes(out)


def edge_number(rng: Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes in either order: one at which programs break, or one beside it, or any."""
    form = pick(rng, "BHIQ")
    size = 8 * struct.calcsize("<" + form)
    number = pick(rng, EDGES) + int(rng.integers(-2, 3)) if rng.random() < 0.8 else int(rng.integers(1 << 62))
    return struct.pack(pick(rng, "<>") + form, number % (1 << size))


class Raw:
    """A piece of JSON as it stands, which need not be a value that Python has."""

    def __init__(self, text: str):
        self.text = text


def spoiled_json(rng: Random, value: Any, times: int = 0) -> str:
    """The text of a JSON value in which one to three places were changed."""
    tree = json.loads(json.dumps(value))
    for _ in range(times or int(rng.integers(1, 4))):
        tree = _changed(rng, tree)
    text = _text(tree)
    return (
        text if rng.random() < 0.9 else spoiled_bytes(rng, text.encode("utf-8", "replace")).decode("utf-8", "replace")
    )


def _changed(rng: Random, tree: Any) -> Any:
    places = list(_places(tree))
    if not places or rng.random() < 0.02:
        return Raw(pick(rng, VALUES))
    table, key = pick(rng, places)
    match int(rng.integers(8)):
        case 0:
            del table[key]
        case 1 if isinstance(table, dict):
            table[pick(rng, ("", "x", "strides", "\x00", "é" * 100))] = Raw(pick(rng, VALUES))
        case 2 if type(table[key]) in (int, float):
            table[key] = pick(rng, (-1, 0, 2, 10, 1000, 10**6, 10**12)) * table[key]
        case 3:
            other, name = pick(rng, places)
            table[key] = json.loads(json.dumps(other[name], default=lambda raw: raw.text))
        case _:
            table[key] = Raw(pick(rng, VALUES))
    return tree


def _places(tree: Any) -> Any:
    """(table or list, key or index) of everything in a tree."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def _text(tree: Any) -> str:
    if isinstance(tree, Raw):
        return tree.text
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {_text(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_text, tree)) + "]"
    return json.dumps(tree)


def spoiled_safetensors(rng: Random, data: bytes) -> bytes:
    """A .safetensors file with something wrong in its header, in the JSON inside of its metadata, or in its numbers."""
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    match int(rng.integers(7)):
        case 0:
            return spoiled_bytes(rng, data, header=8 + size)
        case 1:
            text = spoiled_json(rng, header)
        case 2 if "__metadata__" in header:
            for key, value in header["__metadata__"].items():
                if value.startswith("{"):
                    header["__metadata__"][key] = spoiled_json(rng, json.loads(value))
            text = json.dumps(header)
        case 3:
            for _ in range(int(rng.integers(1, 3))):
                one = header[pick(rng, names)]
                one[pick(rng, ("dtype", "shape", "data_offsets"))] = pick(
                    rng, ("F16", "F64", "BF16", "I64", "BOOL", [], [0], [1, 1], [2**62, 2], [-1], [0, 4], [4, 0])
                )
            text = json.dumps(header)
        case 4:
            numbers = np.frombuffer(body[: len(body) // 4 * 4], "<f4").copy()
            at = rng.integers(len(numbers), size=int(rng.integers(1, 3)))
            numbers[at] = pick(rng, (np.nan, np.inf, -np.inf, 0, 3e38, 1e-40))
            text, body = json.dumps(header), numbers.tobytes() + body[len(numbers) * 4 :]
        case 5:
            text, body = json.dumps(header), spoiled_bytes(rng, body, header=len(body))
        case _:
            del header[pick(rng, names)]
            text = json.dumps(header)
    raw = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(raw)) + raw + body
