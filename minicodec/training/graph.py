"""A training step as one CUDA graph: launched at once, instead of some thousand kernels one by one.

A step is the same launches every time, with the same addresses and the same numbers as arguments. So a GPU can be told
them once: while a stream is being captured nothing runs, and what would have run becomes a graph. To launch that takes
Python some microseconds, where to launch the kernels takes longer than the GPU needs for the small ones among them.

A graph repeats what it was told, blindly. What must hold for that, and how it does:

    nothing it reads or writes may move or be given to others
            parameters, their means, codebooks and balancer change in place; what a step needs in between comes from
            a pool of memory that only graphs use, and that lives as long as they do. All graphs share it: none runs
            at the same time as another, and none reads what another has left there
    no number of the host may change from step to step
            the batch is copied to where the graph reads it; what Adam needs is sent before each launch [cuda.send]
    Python decides nothing in between
            steps differ: in the number of codebooks, in whether the discriminator learns. Each Kind has its graph.
            Steps in which codebooks start or come back to life draw random numbers, and are made one by one
    nothing new is compiled, planned or loaded
            a kind has been made twice before it is captured; plans of Fourier transforms are kept for ever

Whether all this is so, is asked of the device itself: once for each kind, in the step after its capture, the step is
made from the same state both ways, and if one bit differs, there are no graphs. None either where capturing fails, as
for want of memory. Then `notices` says so, and training goes on as without.
"""

from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cublas import use_stream
from minicodec.kernels.gpu.cuda import postponed
from minicodec.tensor import Tensor

BEFORE = 2  # steps of a kind that are made one by one, before it is captured

FAILURES = (RuntimeError, MemoryError, OSError, ValueError, AttributeError)  # CuPy's, CUDA's and ctypes'


class Kind(NamedTuple):
    """What decides which launches a step consists of."""

    shape: tuple[int, ...]  # of the batch
    levels: int  # of the quantizer
    warms_up: bool
    learns: bool  # the discriminator does
    judges: bool  # the discriminator does
    routine: bool  # no codebook starts or comes back to life


class _Trainer(Protocol):
    array: Any
    step: int
    codec: Any
    average: Any
    optimizer: Any
    adversary: Any
    warmup: Any
    plain: Any
    balancer: Any

    def make(self, original: Tensor, kind: Kind) -> dict[str, Any]: ...
    def advance(self, kind: Kind) -> None: ...


class _Captured(NamedTuple):
    graph: Any
    batch: Any  # (B,T,C), read by the graph
    names: list[str]
    figures: Any  # (n) float64, written by the graph


class Graphs:
    """The graphs of a trainer on a GPU. notices: what there is to say, once."""

    def __init__(self, trainer: _Trainer):
        self.trainer, self.array = trainer, trainer.array
        self.notices: list[str] = []
        self.replayed = 0
        self._pool, self._stream = self.array.cuda.MemoryPool(), self.array.cuda.Stream(non_blocking=True)
        self._workspace: Any = None
        self._made: Counter[Kind] = Counter()
        self._captured: dict[Kind, _Captured] = {}
        self._usable = True
        self.array.fft.config.get_plan_cache().set_size(-1)  # a plan that is dropped takes its memory along

    def step(self, x: Any, kind: Kind) -> dict[str, Any]:
        """One step on crops x (B,T,C) -> its figures; as trainer.make, by a graph where there is one."""
        if not self._usable or not kind.routine:
            return self.trainer.make(Tensor(x), kind)
        self._made[kind] += 1
        if self._made[kind] == BEFORE + 1:
            self._capture(kind)
        if self._made[kind] <= BEFORE + 1 or not self._usable:
            return self.trainer.make(Tensor(x), kind)
        if self._made[kind] == BEFORE + 2:
            return self._prove(x, kind)
        return self._replay(x, kind)

    def _capture(self, kind: Kind) -> None:
        """Make the kind's graph. The trainer is left as it was: nothing runs, and its counts are put back."""
        cupy, stream, counts = self.array, self._stream, _counts(self.trainer)
        try:
            with stream, cupy.cuda.using_allocator(self._pool.malloc):
                batch = cupy.empty(kind.shape, np.float32)
                self._workspace = use_stream(cupy, stream) if self._workspace is None else self._workspace
                with postponed() as unsent:
                    stream.begin_capture()
                    try:
                        figures = self.trainer.make(Tensor(batch), kind)
                        values = cupy.empty(len(figures), np.float64)
                        for i, value in enumerate(figures.values()):
                            values[i] = value
                    except FAILURES:
                        with suppress(RuntimeError):  # it may say that this capture has failed, which we know
                            stream.end_capture()
                        raise
                    graph = stream.end_capture()
        except FAILURES as error:
            self._give_up(f"a step could not be captured ({str(error).strip().splitlines()[0]})")
            return
        finally:
            _put_back(self.trainer, counts)
        for target, numbers in unsent:
            target[...] = cupy.asarray(numbers)
        self._captured[kind] = _Captured(graph, batch, list(figures), values)

    def _replay(self, x: Any, kind: Kind) -> dict[str, Any]:
        captured = self._captured[kind]
        captured.batch[...] = x
        self.trainer.advance(kind)
        captured.graph.launch()
        self.replayed += 1
        figures = captured.figures.copy()  # the next launch writes there again
        return {name: figures[i] for i, name in enumerate(captured.names)}

    def _prove(self, x: Any, kind: Kind) -> dict[str, Any]:
        """A step both ways, from the same state. Waits for the device."""
        pool, counts = self.array.cuda.MemoryPool(), _counts(self.trainer)
        try:
            with self.array.cuda.using_allocator(pool.malloc):  # not from what the step itself needs
                before, after = ([a.copy() for a in _arrays(self.trainer)] for _ in range(2))
        except MemoryError:
            self._give_up("too little memory")
            return self.trainer.make(Tensor(x), kind)
        expected = self.trainer.make(Tensor(x), kind)
        for a, old, new in zip(_arrays(self.trainer), before, after, strict=True):
            new[...] = a
            a[...] = old
        counts_after = _counts(self.trainer)
        _put_back(self.trainer, counts)
        figures = self._replay(x, kind)
        same = list(zip(_arrays(self.trainer), after, strict=True))
        same += [(figures[name], self.array.asarray(expected[name], np.float64)) for name in expected]
        if self._usable and (int(sum(_differing(a, b) for a, b in same)) or _counts(self.trainer) != counts_after):
            self._give_up("a replayed step was not the same as one that was made kernel by kernel")
            for a, right in zip(_arrays(self.trainer), after, strict=True):
                a[...] = right
            _put_back(self.trainer, counts_after)
            return expected
        return figures

    def _give_up(self, why: str) -> None:
        self._usable = False
        self._captured.clear()
        self._workspace = None
        self.notices.append(f"no CUDA graphs: {why}; the steps are made one by one, with the same result")


def _arrays(trainer: _Trainer) -> list[Any]:
    """Everything on the device that a step changes."""
    parts = [trainer.codec.state_dict(), trainer.average.state_dict(), trainer.optimizer.m, trainer.optimizer.v]
    for balancer in (trainer.warmup, trainer.plain, trainer.balancer):
        parts += [balancer.totals, balancer.counts]
    if trainer.adversary is not None:
        adversary = trainer.adversary
        parts += [adversary.discriminator.state_dict(), adversary.optimizer.m, adversary.optimizer.v]
    return [a for part in parts for a in part.values() if xp(a) is not np]


def _counts(trainer: _Trainer) -> tuple[Any, ...]:
    """Everything that Python itself counts in a step."""
    adversary = trainer.adversary
    steps = [dict(trainer.optimizer.steps), {} if adversary is None else dict(adversary.optimizer.steps)]
    return trainer.step, trainer.codec.quantizer.updates.tolist(), *steps


def _put_back(trainer: _Trainer, counts: tuple[Any, ...]) -> None:
    trainer.step, updates, trainer.optimizer.steps, steps = counts[0], counts[1], dict(counts[2]), dict(counts[3])
    trainer.codec.quantizer.updates[...] = updates
    if trainer.adversary is not None:
        trainer.adversary.optimizer.steps = steps


def _differing(a: Any, b: Any) -> Any:
    """How many words of 32 bits differ."""
    words, others = (array.reshape(-1).view(np.uint32) for array in (a, b))
    return (words != others).sum()
