"""Checkpoints: everything that a training needs to go on as if it had never stopped, bit for bit.

A checkpoint is one safetensors file named by its step, checkpoints/step-00001000.safetensors, with the arrays

    step                  how many updates have been made: the position in the data, since batch number n and all
                          random numbers of step n are functions of the seed and n; there is no generator to save
    model.NAME            weights, codebooks and the codebooks' statistics
    average.NAME          the moving average of the weights
    optimizer.NAME        Adam's moments and counts

The same files whatever device the training runs on: it can go on on another. Equal states give equal bytes, so two runs
can be compared with `cmp`. Files are written beside, and renamed when they are on the disk: whenever the process dies,
the newest checkpoint is whole.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from minicodec.device import host
from minicodec.errors import InputError
from minicodec.files import write_atomically

PATTERN = re.compile(r"step-(\d{8})\.safetensors")


def save(folder: Path, step: int, groups: Mapping[str, Mapping[str, Any]], keep: int) -> Path:
    """Write the checkpoint of a step from {group: {name: array}}, remove all but the newest `keep`; its path."""
    arrays = {f"{group}.{name}": array for group, named in groups.items() for name, array in named.items()}
    arrays["step"] = np.array(step)
    # safetensors writes the memory of an array as it lies there, whatever its strides say.
    arrays = {name: np.asarray(host(arrays[name]), order="C") for name in sorted(arrays)}
    path = folder / f"step-{step:08d}.safetensors"
    with write_atomically(path, overwrite=True) as temporary:
        save_file(arrays, temporary)
    for old in in_folder(folder)[:-keep]:
        old.unlink()
    return path


def load(path: Path) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """The step and the {group: {name: array}} of a checkpoint. InputError: it cannot be read."""
    try:
        arrays = load_file(path)
        step = int(arrays.pop("step"))
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(f"{path}: cannot be read as a checkpoint ({error})") from error
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = array
    return step, groups


def in_folder(folder: Path) -> list[Path]:
    """The checkpoints there are, oldest first."""
    return sorted(path for path in folder.iterdir() if PATTERN.fullmatch(path.name))


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed while writing has left behind."""
    for path in folder.glob(".step-*.tmp.safetensors"):
        path.unlink()
