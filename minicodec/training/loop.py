"""What every training loop needs around its steps: a log, a Ctrl-C that waits for the step to end, words at its end."""

import json
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from minicodec.errors import InputError
from minicodec.files import write_atomically
from minicodec.training import checkpoint
from minicodec.training.process_memory import memory
from minicodec.training.trainer import DivergedError


class Log:
    """log.jsonl in a run's folder: one line of JSON with a step's number and figures for every entry.

    array: the module of the device's arrays, whose memory is logged.
    """

    def __init__(self, path: Path, every: int, array: Any):
        self.path, self.every, self.array = path, every, array
        self._unlogged: dict[str, list[float]] = {}

    def write(self, step: int, figures: Mapping[str, Any]) -> None:
        """One entry; null for what is no finite number, which JSON does not know. InputError: it cannot be written."""
        line = json.dumps(_finite({"step": step} | dict(figures)), allow_nan=False) + "\n"
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    def after_step(self, step: int, figures: Mapping[str, float], seconds_per_step: float) -> None:
        """Every so many steps, write the means of what came since the last time, the speed, and the memory in bytes."""
        for name, value in figures.items():  # not every figure comes in every step: a discriminator's does not
            self._unlogged.setdefault(name, []).append(value)
        if step % self.every == 0:
            means = {name: fmean(values) for name, values in self._unlogged.items()}
            self.write(step, means | {"steps_per_second": 1 / seconds_per_step} | memory(self.array))
            self._unlogged = {}

    def forget_after(self, step: int) -> None:
        """Remove what was logged after the checkpoint of a step: it will be logged again. InputError: see `read`."""
        if self.path.exists():
            kept = [line for line in self.read() if line["step"] <= step]
            with write_atomically(self.path, overwrite=True) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def read(self) -> list[dict[str, Any]]:
        """All entries. The last may have been cut by a crash, and is left out then. InputError: another is damaged."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror or error})") from error
        entries = []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line.decode())
                if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
                    raise ValueError("it has no step")
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    break
                advice = "only the curves need it: delete the line, or the file, to go on"
                raise InputError(f"{self.path}: line {number} is damaged ({error}); {advice}") from None
            entries.append(entry)
        return entries


def _finite(value: Any) -> Any:
    """The same, with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Within this block Ctrl-C sets the event instead of raising; a second Ctrl-C does what it always does.

    For programs that own their process: it takes the place of whoever listens to Ctrl-C, and works in the main thread.
    """
    event = threading.Event()

    def on_interrupt(*_: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def what_is_left(folder: Path, checkpoints: Path, command: str) -> Iterator[None]:
    """An error in this block that ends a training becomes an InputError that says what is left of it, and what to do.

    command: of the command line, which goes on with a run.
    """
    try:
        yield
    except DivergedError as error:
        saved = checkpoint.in_folder(checkpoints)
        last = f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"
        raise InputError(f"{folder}: {error}; {last}; a lower lr often helps") from error
    except (OSError, InputError) as error:
        # InputErrors of our own that no error of the system has caused say what to do, as of a GPU's memory.
        if isinstance(error, InputError) and not isinstance(error.__cause__, OSError | RuntimeError):
            raise
        if isinstance(error, OSError):
            error = InputError(f"{error.filename or folder}: cannot be written ({error.strerror or error})")
        saved = checkpoint.in_folder(checkpoints)
        last = f"{saved[-1]} is whole" if saved else "there is no checkpoint yet"
        advice = f"when there is room again, go on with: minicodec {command} --resume {folder}"
        raise InputError(f"{error}; {last}; {advice}") from error
