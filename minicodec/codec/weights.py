"""Weights in .safetensors files: arrays by name, and a few words of metadata. Nothing in such a file can be run.

A file may hold its numbers in half precision, at half the size. They are float32 as soon as they are read.
"""

import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minicodec.device import host
from minicodec.errors import InputError, brief
from minicodec.files import write_atomically


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and the metadata of a file. InputError, naming it, if it cannot be read as one."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    # TypeError, AttributeError: bfloat16, and floats of 8 or 4 bits, which NumPy does not have.
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {brief(error, 200)}") from None
    return {key: a.astype(np.float32) if a.dtype == np.float16 else a for key, a in arrays.items()}, metadata


def write(path: str | PathLike[str], arrays: Mapping[str, Any], metadata: dict[str, str], overwrite: bool) -> None:
    """Write a file, whole or not at all. InputError as of `write_atomically`."""
    # safetensors writes the memory of an array as it lies there, whatever its strides say.
    contiguous = {name: np.asarray(host(array), order="C") for name, array in arrays.items()}
    with write_atomically(path, overwrite=overwrite) as temporary:
        save_file(contiguous, temporary, metadata)


def halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with float16 in place of float32. ValueError: a number is larger than float16 can be (65504)."""
    floats = {name: array for name, array in arrays.items() if array.dtype == np.float32}
    largest = max(np.abs(array).max() for array in floats.values())
    if not largest <= np.finfo(np.float16).max:
        raise ValueError(f"weights up to {largest:g} do not fit into half precision")
    return {**arrays, **{name: array.astype(np.float16) for name, array in floats.items()}}


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError: a weight is NaN or infinite; what a model makes of it is noise."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name[:200]} holds NaN or infinity")


def blank(arrays: Mapping[str, np.ndarray]) -> np.random.Generator:
    """For the `rng` of a model that is to be filled with these arrays: gives zeros, and no more than they hold.

    So a configuration that promises more than the file has ends with a ValueError before that memory is taken.
    """
    return zeros(sum(array.size for array in arrays.values()))


def zeros(count: int) -> np.random.Generator:
    """The same, for a file with so many numbers."""
    return cast(np.random.Generator, _Zeros(count))


class _Zeros:
    """What layers draw their first weights from, as far as they use a Generator."""

    def __init__(self, count: int):
        self.count = self.left = count

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray:
        self.left -= math.prod(shape)
        if self.left < 0:
            raise ValueError(f"it would be larger than the {self.count} numbers in the file")
        return np.zeros(shape, np.float32)

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        return self._draw(shape)

    def normal(self, *, size: tuple[int, ...]) -> np.ndarray:
        return self._draw(size)
