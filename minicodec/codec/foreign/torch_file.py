"""Reader of PyTorch's .th files: the tensors of a state dict, without PyTorch and without executing anything.

Such a file is a zip archive, uncompressed. `data.pkl` in it is a pickle that describes the tensors; `data/0`, `data/1`,
… are their storages, raw little-endian numbers. A pickle is a program for a small stack machine, and two of its
instructions let it call any function of any module: GLOBAL, which names one, and REDUCE, which calls it. That is why
nobody should unpickle a stranger's file.

The machine below runs only the instructions that a state dict needs, and knows five kinds of name, none of which it
looks up: collections.OrderedDict stands for a dict, torch._utils._rebuild_tensor_v2 for a view of a storage, and
torch.FloatStorage and its like for the types of numbers. Anything else is refused, by its name. `pickletools`, of the
standard library, only cuts the program into instructions.

What is read may come from anywhere: no memory is taken for a size that the file does not really have.
"""

import hashlib
import math
import pickletools
import re
import zipfile
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minicodec.errors import InputError, brief

ORDERED_DICT, REBUILD_TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
}
PICKLE_LIMIT = 1 << 22  # bytes; those of the published models have about 50 000
DIMENSIONS_LIMIT = 8


class Name(NamedTuple):
    """What GLOBAL puts on the stack: "module name", one of the above."""

    text: str


def read_torch_file(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The state dict in a .th file: name -> read-only array.

    Where the file name ends with a dash and hexadecimal digits, as in encodec_24khz-d7cc33bc.th, the file's SHA-256
    must begin with them. InputError, in one line that names the file: it does not, or this is no such file, is
    damaged, or wants something done that loading tensors does not need.
    """
    path = Path(path)
    try:
        check_digest(path)
        with zipfile.ZipFile(path) as archive:
            state = run(*_pickle_and_storages(archive, path.stat().st_size))
    # What zipfile raises for damaged archives, and what the machine does for damaged programs, which pop from an
    # empty stack or mistake a number for a dict.
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a PyTorch file: {brief(error, 200)}") from None
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise InputError(f"{path}: cannot be read as a PyTorch file: its pickle is damaged") from None
    if not isinstance(state, dict) or not all(isinstance(value, np.ndarray) for value in state.values()):
        raise InputError(f"{path}: is no state dict: a dict of names and tensors, and nothing else")
    return state


def check_digest(path: Path) -> None:
    """ValueError if the file's SHA-256 does not begin with the digits at the end of its name. None: no check."""
    match = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if match is None:
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(match[1]):
        raise ValueError(f"its SHA-256 begins with {digest[: len(match[1])]}, its name says {match[1]}: damaged?")


class Storages:
    """The storages of an archive, each read once, when a tensor first asks for it."""

    def __init__(self, archive: zipfile.ZipFile, root: str, budget: int):
        self.archive, self.root = archive, root
        self.budget = budget  # bytes that all members together may have: entries of a zip can overlap
        self.arrays: dict[str, np.ndarray] = {}

    def member(self, name: str, limit: int) -> bytes:
        """The bytes of one file of the archive."""
        try:
            info = self.archive.getinfo(f"{self.root}/{name}")
        except KeyError:
            raise ValueError(f"{brief(name)} is missing from the archive") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{brief(name)} is compressed, which PyTorch never does")
        if info.file_size > limit:
            raise ValueError(f"{brief(name)} has {info.file_size} bytes, more than the {limit} that fit")
        self.budget -= info.file_size
        if self.budget < 0:
            raise ValueError("its parts are larger than the file")
        return self.archive.read(info)

    def __call__(self, identity: Any) -> np.ndarray:
        """The storage that ("storage", type, key, device, length) identifies, (length,)."""
        kind, dtype, key, _, length = identity
        if kind != "storage" or not isinstance(dtype, Name) or not isinstance(key, str):
            raise ValueError("its pickle is damaged")
        if key not in self.arrays:
            raw = self.member(f"data/{key}", limit=self.budget)
            self.arrays[key] = np.frombuffer(raw, STORAGES[dtype.text])
        if type(length) is not int or len(self.arrays[key]) != length:
            raise ValueError(f"storage {brief(key)} should have another length, and has {len(self.arrays[key])}")
        return self.arrays[key]


def _pickle_and_storages(archive: zipfile.ZipFile, size: int) -> tuple[bytes, Storages]:
    roots = [name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ValueError("there is no data.pkl in the archive" if not roots else "there are several data.pkl")
    storages = Storages(archive, roots[0], budget=size)
    if f"{roots[0]}/byteorder" in archive.namelist() and storages.member("byteorder", limit=6) != b"little":
        raise ValueError("its numbers are big-endian")
    return storages.member("data.pkl", limit=PICKLE_LIMIT), storages


def run(program: bytes, storages: Any) -> Any:
    """What a pickle makes of the empty stack. `storages` maps a storage's identity to its array.

    ValueError, which names it: an instruction or a name that a state dict does not need.
    """
    stack: list[Any] = []
    marks: list[int] = []  # heights of the stack
    memo: dict[Any, Any] = {}

    def pop_to_mark() -> list[Any]:
        height = marks.pop()
        items = stack[height:]
        del stack[height:]
        return items

    for opcode, argument, _ in pickletools.genops(program):
        match opcode.name:
            case "PROTO" if argument == 2:
                pass
            case "BINUNICODE" | "BININT" | "BININT1" | "BININT2":
                stack.append(argument)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                n = int(opcode.name[-1])
                stack[-n:] = [(*stack[-n:],)]
            case "SETITEM":
                *_, key, value = stack
                del stack[-2:]
                _set_item(stack[-1], key, value)
            case "SETITEMS":
                items = pop_to_mark()
                for key, value in zip(items[::2], items[1::2], strict=True):
                    _set_item(stack[-1], key, value)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_name(argument))
            case "BINPERSID":
                stack.append(storages(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(_reduce(stack.pop(), arguments))
            case "BUILD":  # attributes of an OrderedDict: versions of modules, which say nothing about the weights
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise ValueError("its pickle sets attributes of what is no dict")
            case "STOP":
                return stack.pop()
            case other:
                raise ValueError(f"its pickle has the instruction {other}, which no state dict needs; nothing was run")
    raise ValueError("its pickle has no end")


def _set_item(target: Any, key: Any, value: Any) -> None:
    if not isinstance(target, dict) or not isinstance(key, str):
        raise ValueError("its pickle is damaged")
    target[key] = value


def _name(argument: Any) -> Name:
    if argument not in (ORDERED_DICT, REBUILD_TENSOR, *STORAGES):
        name = brief(argument.replace(" ", "."))
        raise ValueError(f"its pickle asks for {name}, which no state dict needs; nothing was run")
    return Name(argument)


def _reduce(function: Any, arguments: Any) -> Any:
    """What calling a name would give: a new dict, or a view of a storage."""
    name = function.text if isinstance(function, Name) else None
    if name == ORDERED_DICT and arguments == ():
        return {}
    if name == REBUILD_TENSOR:
        return _tensor(*arguments)
    raise ValueError("its pickle calls what is no function")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any) -> np.ndarray:
    """The view of a storage that begins at `offset` and steps by `strides`, all in numbers. It has to lie inside."""
    numbers = (offset, *shape, *strides)
    if not all(type(n) is int and n >= 0 for n in numbers) or not len(shape) == len(strides) <= DIMENSIONS_LIMIT:
        raise ValueError("its pickle describes a tensor of impossible shape")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if (0 not in shape and last >= len(storage)) or offset > len(storage):
        raise ValueError(f"a tensor reaches {last + 1} numbers into a storage of {len(storage)}")
    if math.prod(shape) > len(storage):  # steps of 0 could make a terabyte of one number
        raise ValueError(f"a tensor has more numbers than its storage of {len(storage)}")
    return as_strided(storage[offset:], shape, [n * storage.itemsize for n in strides], writeable=False)
