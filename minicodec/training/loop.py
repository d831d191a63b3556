"""What every training loop needs around its steps: a log, a Ctrl-C that waits for the step to end, a way back in."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from minicodec.errors import InputError
from minicodec.files import write_atomically
from minicodec.training import checkpoint
from minicodec.training.memory import memory
from minicodec.training.report import read_log


class Log:
    """log.jsonl in a run's folder: one line of JSON with a step's number and figures for every entry.

    array: the module of the device's arrays, whose memory is logged.
    """

    def __init__(self, path: Path, every: int, array: Any):
        self.path, self.every, self.array = path, every, array
        self._unlogged: dict[str, list[float]] = {}

    def write(self, step: int, figures: Mapping[str, Any]) -> None:
        """One entry."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | dict(figures)) + "\n")

    def after_step(self, step: int, figures: Mapping[str, float], seconds_per_step: float) -> None:
        """Every so many steps, write the means of what came since the last time, the speed, and the memory in bytes."""
        for name, value in figures.items():  # not every figure comes in every step: a discriminator's does not
            self._unlogged.setdefault(name, []).append(value)
        if step % self.every == 0:
            means = {name: fmean(values) for name, values in self._unlogged.items()}
            self.write(step, means | {"steps_per_second": 1 / seconds_per_step} | memory(self.array))
            self._unlogged = {}

    def forget_after(self, step: int) -> None:
        """Remove what was logged after the checkpoint of a step: it will be logged again."""
        if self.path.exists():
            kept = [line for line in read_log(self.path) if line["step"] <= step]
            with write_atomically(self.path, overwrite=True) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Within this block Ctrl-C sets the event instead of raising; a second Ctrl-C does what it always does."""
    event = threading.Event()

    def on_interrupt(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


def restore(path: Path, take_over: Callable[[int, dict[str, dict[str, Any]]], None]) -> None:
    """Give a trainer's method `take_over` the step and the state of a checkpoint. InputError: it does not fit."""
    step, state = checkpoint.load(path)
    try:
        take_over(step, state)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: does not fit the configuration: {error}") from error


def last_good(folder: Path) -> str:
    """What to say of a folder of checkpoints after a divergence."""
    saved = checkpoint.in_folder(folder)
    advice = "a lower lr often helps"
    return f"the last good checkpoint is {saved[-1]}; {advice}" if saved else f"there is no checkpoint yet; {advice}"
