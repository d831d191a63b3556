"""Checkpoints: everything that a training needs to go on as if it had never stopped, bit for bit.

A checkpoint is one safetensors file named by its step, checkpoints/step-00001000.safetensors, with the arrays

    step                  how many updates have been made: the position in the data, since batch number n and all
                          random numbers of step n are functions of the seed and n; there is no generator to save
    model.NAME            weights, codebooks and the codebooks' statistics
    average.NAME          the moving average of the weights
    optimizer.NAME        Adam's moments and counts

The same files whatever device the training runs on: it can go on on another. Equal states give equal bytes, so two runs
can be compared with `cmp`. Files are written beside, and renamed when they are on the disk: whenever the process dies,
the newest checkpoint is whole. A checksum of all arrays, in the file's metadata, tells if it is not whole any more;
files without metadata, of older versions, are believed.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minicodec.device import host
from minicodec.errors import InputError, brief
from minicodec.files import write_atomically

PATTERN = re.compile(r"step-(\d{8})\.safetensors")
CHECKSUM = "sha256"

Groups = dict[str, dict[str, Any]]  # {group: {name: array}}


def contents(step: int, groups: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name, on the CPU."""
    arrays = {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}
    arrays["step"] = np.array(step)
    # safetensors writes the memory of an array as it lies there, whatever its strides say.
    return {name: np.asarray(host(arrays[name]), order="C") for name in sorted(arrays)}


def save(folder: Path, step: int, groups: Mapping[str, Mapping[str, Any]], keep: int) -> Path:
    """Write the checkpoint of a step, remove all but the newest `keep`; its path. InputError: it cannot be written."""
    arrays = contents(step, groups)
    path = folder / f"step-{step:08d}.safetensors"
    with write_atomically(path, overwrite=True) as temporary:
        try:
            save_file(arrays, temporary, {CHECKSUM: checksum(arrays)})
        except SafetensorError as error:  # which is what a full disk looks like there
            raise OSError(str(error)) from error
    for old in in_folder(folder)[:-keep]:
        old.unlink()
    return path


def load(path: Path) -> tuple[int, Groups]:
    """The step and the arrays of a checkpoint. InputError: it cannot be read, or is damaged."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
    # TypeError, AttributeError: types of numbers that NumPy does not have.
    except (OSError, SafetensorError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({brief(error, 200)})") from error
    if metadata is not None and metadata.get(CHECKSUM) != checksum(arrays):
        raise InputError(f"{path}: is damaged (its checksum is wrong)")
    step = arrays.pop("step", np.array(-1))
    if step.shape != () or step.dtype.kind not in "iu" or step < 0:
        raise InputError(f"{path}: is no checkpoint (it does not say of which step)")
    groups: Groups = {}
    for key, array in arrays.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = array
    return int(step), groups


def restore_newest(folder: Path, take_over: Callable[[int, Groups], None]) -> bool:
    """Give the newest checkpoint to a trainer's method `take_over`; False if there is none.

    InputError: it is damaged, and which one beside it is whole; or it does not fit the trainer.
    """
    saved = in_folder(folder) if folder.is_dir() else []
    if not saved:
        return False
    *older, newest = saved
    try:
        step, groups = load(newest)
    except InputError as error:
        whole = next(filter(_is_whole, reversed(older)), None)
        advice = f"{whole} is whole: delete the damaged one to go on from there" if whole else "there is no other"
        raise InputError(f"{error}; {advice}") from error
    try:
        take_over(step, groups)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{newest}: does not fit the configuration: {error}") from error
    return True


def check_fit(own: Mapping[str, Mapping[str, Any]], given: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError: the arrays `given` in a checkpoint are not those of a trainer, by name, shape or type of numbers.

    As many vectors as happened to wait for k-means: their number is free.
    """
    for group, arrays in own.items():
        if group not in given:
            raise ValueError(f"it has the parts {', '.join(sorted(given))}")
        for name, array in arrays.items():
            found = given[group].get(name)
            if found is None:
                raise ValueError(f"{group}.{name} is missing")
            free = int(name == "quantizer.waiting")
            same = found.ndim == array.ndim and found.shape[free:] == array.shape[free:] and found.dtype == array.dtype
            if not same:
                raise ValueError(f"{group}.{name} is {found.dtype} {found.shape}, not {array.dtype} {array.shape}")


def sizes(folder: Path) -> dict[str, int]:
    """How many numbers each group of the newest checkpoint has, from its header alone; nothing if it has none."""
    found: dict[str, int] = {}
    for path in in_folder(folder)[-1:] if folder.is_dir() else []:
        with suppress(OSError, SafetensorError), safe_open(path, "numpy") as file:  # `restore_newest` says what it is
            for key in file.keys():  # noqa: SIM118
                group = key.partition(".")[0]
                found[group] = found.get(group, 0) + math.prod(file.get_slice(key).get_shape())
    return found


def in_folder(folder: Path) -> list[Path]:
    """The checkpoints there are, oldest first."""
    return sorted(path for path in folder.iterdir() if PATTERN.fullmatch(path.name))


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed while writing has left behind."""
    for path in folder.glob(".step-*.tmp.safetensors"):
        path.unlink()


def checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Of the names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    try:
        load(path)
    except InputError:
        return False
    return True
