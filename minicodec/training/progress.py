"""How far is the training? A bar on a terminal, a plain line now and then elsewhere; both on stderr."""

import time
from collections.abc import Mapping
from types import TracebackType

from minicodec.console import on_terminal, say

EVERY = 10.0  # seconds between plain lines
RECENT = 0.05  # weight of the newest step in the running mean of a step's duration


class Progress:
    """Steps done, losses, speed and time left of `steps` steps with `audio_seconds` of sound in each.

    with Progress(steps, first, audio_seconds) as progress:
        progress.update({"l1": 0.1, "mel": 2.5})          after each step
        progress.print("validation: ...")                 a line that stays

    shown: False for a rank that lets another one speak.
    """

    def __init__(self, steps: int, first: int, audio_seconds: float, *, shown: bool = True):
        self.steps, self.step, self.audio_seconds = steps, first, audio_seconds
        self.seconds_per_step = 0.0
        self._timed = 0
        self._last = self._printed = time.perf_counter()
        self._bar = None
        if shown and on_terminal():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress as RichProgress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = RichProgress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("compiling", total=steps, completed=first)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, losses: Mapping[str, float]) -> None:
        """One more step is done."""
        now = time.perf_counter()
        duration, self._last = now - self._last, now
        self.step += 1
        self._timed += 1
        if self._timed <= 2:  # the first step compiles: the second says more
            self.seconds_per_step = duration
        # A validation or k-means between two steps shall not spoil the estimate for hundreds of steps.
        usual = self.seconds_per_step
        self.seconds_per_step += max(RECENT, 1 / self._timed) * (min(duration, 3 * usual) - usual)
        text = self._describe(losses)
        if self._bar:
            self._bar.update(self._task, completed=self.step, description=text)
        elif now - self._printed >= EVERY or self.step == self.steps:
            self._printed = now
            say(f"step {self.step}/{self.steps}  {text}")

    def print(self, line: str) -> None:
        """A line above the bar."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            say(line)

    def _describe(self, losses: Mapping[str, float]) -> str:
        speed = 1 / self.seconds_per_step
        left = round((self.steps - self.step) * self.seconds_per_step)
        figures = "  ".join(f"{name} {value:.3g}" for name, value in losses.items())
        hours, minutes, seconds = left // 3600, left // 60 % 60, left % 60
        rates = f"{speed:.2f} steps/s  {speed * self.audio_seconds:.1f} s of audio/s"
        return f"{figures}  {rates}  {hours}:{minutes:02}:{seconds:02} left"
