"""What a student's function returned, as plain data, and as bytes that carry it to the grader: nothing is unpickled.

`plain` keeps numbers, arrays of numbers, text, bytes, tuples and lists; of all else it keeps the type's name. Both the
notebook's `check` and the grader judge that plain form, so they cannot differ. A message is 4 bytes that say how long
it is, then as many bytes of JSON; who reads knows the length before anything is read.
"""

import base64
import json
import os
import re
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

LARGEST_ARRAY = 1 << 20  # bytes; of a larger one only shape and dtype are kept. The largest right result has 80 KB.
LARGEST_MESSAGE = 1 << 22
LONGEST_TEXT = 2000
MOST_ENTRIES = 1000  # of a list or tuple
DEEPEST = 6
DTYPE = re.compile(r"[<>|][fiubc]\d{1,2}")


@dataclass(frozen=True)
class Other:
    """Something that is no number, array or text: what it is, in words."""

    words: str


def plain(value: Any, depth: int = 0) -> Any:
    """The value in plain types: None, bool, int, float, str, bytes, arrays of numbers, tuples and lists, or Other."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain_array(np.asarray(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 4096 else Other(f"an integer of {value.bit_length()} bits")
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value) if len(value) <= LARGEST_ARRAY else Other(f"{len(value)} bytes")
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        if depth == DEEPEST or len(value) > MOST_ENTRIES:
            return Other(f"a {kind} of {len(value)} entries")
        entries = [plain(entry, depth + 1) for entry in value]
        return tuple(entries) if kind == "tuple" else entries
    return Other(f"a {type(value).__name__}")


def _plain_array(a: np.ndarray) -> Any:
    if a.dtype.kind not in "fiubc":
        return Other(f"an array of {a.dtype.name}")
    if a.dtype.kind in "fc" and a.dtype.itemsize > 8 * (1 + (a.dtype.kind == "c")):  # long double differs by machine
        a = a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)
    return np.array(a) if a.nbytes <= LARGEST_ARRAY else np.broadcast_to(np.zeros((), a.dtype), a.shape)


def clean(text: str) -> str:
    """Text that any file and terminal takes: bounded, without lone surrogates and control characters."""
    text = text[:LONGEST_TEXT] + ("…" if len(text) > LONGEST_TEXT else "")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)


def encode(value: Any) -> Any:
    """A value that `plain` gave, as what JSON can say."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return {"int": hex(value)}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, Other):
        return {"other": clean(value.words)}
    if isinstance(value, np.ndarray):
        data = base64.b64encode(value.tobytes()).decode("ascii") if value.nbytes <= LARGEST_ARRAY else None
        return {"array": [value.dtype.str, list(value.shape), data]}
    return {"tuple" if isinstance(value, tuple) else "list": [encode(entry) for entry in value]}


def decode(message: Any, depth: int = 0) -> Any:
    """The value that `encode` was given. ValueError: that is nothing which `encode` says."""
    if message is None or isinstance(message, (bool, str)):
        return message
    if not isinstance(message, dict) or len(message) != 1 or depth > DEEPEST:
        raise ValueError("no value")
    [(kind, content)] = message.items()
    if kind in ("tuple", "list") and isinstance(content, list) and len(content) <= MOST_ENTRIES:
        entries = [decode(entry, depth + 1) for entry in content]
        return tuple(entries) if kind == "tuple" else entries
    if kind == "array":
        return _decoded_array(content)
    if not isinstance(content, str):
        raise ValueError("no value")
    if kind == "int" and len(content) < 1100:
        return int(content, 16)
    if kind == "float":
        return float.fromhex(content)
    if kind == "bytes":
        return base64.b64decode(content, validate=True)
    if kind == "other":
        return Other(clean(content))
    raise ValueError("no value")


def _decoded_array(content: Any) -> np.ndarray:
    if not isinstance(content, list) or len(content) != 3:
        raise ValueError("no array")
    name, shape, data = content
    if not isinstance(name, str) or not DTYPE.fullmatch(name):
        raise ValueError("no dtype")
    if not isinstance(shape, list) or len(shape) > 32 or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise ValueError("no shape")
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise ValueError("no dtype") from None
    if data is None:
        return np.broadcast_to(np.zeros((), dtype), shape)
    raw = base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    if len(raw) != prod(shape) * dtype.itemsize:
        raise ValueError("an array of another size")
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def send(descriptor: int, fields: dict[str, Any]) -> None:
    """Write one message. A result that is too large for one goes as its kind alone."""
    data = json.dumps(fields).encode("ascii")
    if len(data) > LARGEST_MESSAGE:
        data = json.dumps({key: value for key, value in fields.items() if key != "returned"}
                          | {"returned": {"other": "more than the grader takes"}}).encode("ascii")  # fmt: skip
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(descriptor, data) :]


def take(buffer: bytearray) -> dict[str, Any] | None:
    """Remove the first message from the buffer; None if it isn't whole yet. ValueError: that is no message."""
    if len(buffer) < 4:
        return None
    (size,) = struct.unpack(">I", buffer[:4])
    if size > LARGEST_MESSAGE:
        raise ValueError(f"a message of {size} bytes")
    if len(buffer) < 4 + size:
        return None
    data = bytes(buffer[4 : 4 + size])
    del buffer[: 4 + size]
    try:
        fields = json.loads(data)
    except RecursionError:
        raise ValueError("a message nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError("a message without fields")
    return fields
