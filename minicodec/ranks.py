"""Processes that train together, on one machine or many. Each of them is a rank: 0, 1, ... size - 1.

Each rank has its part of the same batch, as many items as every other, in the order of the ranks. Training is full of
means over the batch, and then everything follows from one rule:

    mean over the batch  =  sum over the ranks of  (mean over a rank's items) / size

The losses are such means. So each rank computes its `share` of each loss, and the gradients of the shares, summed over
the ranks, are the gradient of the loss. What is no such mean asks for the sums or the rows of all ranks before it goes
on. All ranks then make the same update, with the same numbers, and stay alike without ever exchanging weights.

A process on its own is the only rank, ALONE: it has the whole batch, and a sum over ranks is what it has itself.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.device import host, read
from minicodec.errors import InputError

SOON, PAUSE = 2e-3, 2e-4  # seconds: so long others are expected at every moment; then a look now and then will do


class Ranks:
    """What a process on its own makes of all this: nothing."""

    rank, size = 0, 1

    def share(self, mean: Any) -> Any:
        """The mean of this rank's items, a Tensor or an array -> its share in the mean of all."""
        return mean

    def sum(self, arrays: Sequence[Any]) -> list[Any]:
        """Arrays of one type, with the same shapes on every rank -> their sums over the ranks, on every rank."""
        return list(arrays)

    def total(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """Shares in figures, by name -> the figures."""
        return dict(figures)

    def own(self, items: np.ndarray) -> np.ndarray:
        """Of an array with an entry for each item of the batch, those of this rank's items."""
        return items

    def gather(self, x: Any) -> Any:
        """x (n,...), n of each rank's own -> all of them, in the order of the ranks."""
        return x

    def rows(self, x: Any, indices: Any) -> Any:
        """gather(x)[indices], without moving more than these rows."""
        return x[indices]

    def deal(self, batches: Iterator[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Whole batches, of which rank r makes numbers r, r + size, ... -> this rank's part, of this shape, of each."""
        return batches

    def any(self, here: bool) -> bool:
        """Does it hold for any of the ranks?"""
        return here

    def lines(self, lines: Sequence[str]) -> list[str]:
        """Lines of text -> those of all ranks."""
        return list(lines)

    def agree(self, what: str, text: str) -> None:
        """InputError: not all ranks have the same text, which describes something called `what`."""


ALONE = Ranks()


class Together(Ranks):
    """One of several. comm: MPI.COMM_WORLD of mpi4py, or what has its Ibarrier, Alltoall, Allgather and Scatter.

    MPI only moves numbers; they are added here, rank 0's first. So the same ranks get the same bits in every run, on
    whatever machines they are and whichever MPI that is.
    """

    def __init__(self, comm: Any):
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()

    def meet(self) -> None:
        """Wait until all ranks are here.

        Within an operation MPI waits at full speed, on a processor that the late ones may need. So this comes first.
        """
        everybody, began = self.comm.Ibarrier(), time.monotonic()
        while not everybody.Test():
            time.sleep(0 if time.monotonic() - began < SOON else PAUSE)

    def share(self, mean: Any) -> Any:  # noqa: D102
        return mean / self.size

    def sum(self, arrays: Sequence[Any]) -> list[Any]:
        """As above. All arrays travel as one: rank r adds up the r-th part of it and hands the sum to everybody.

        So each number is sent and received twice, at most, however many ranks there are.
        """
        array = xp(*arrays)
        lengths = [a.size for a in arrays]
        padding = array.zeros(-sum(lengths) % self.size, arrays[0].dtype)
        flat = host(array.concatenate([*(a.reshape(-1) for a in arrays), padding]))
        parts = np.empty((self.size, len(flat) // self.size), flat.dtype)
        self.meet()
        self.comm.Alltoall(flat, parts)
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        self.comm.Allgather(total, parts)
        sums = array.asarray(parts.reshape(-1))
        starts = np.cumsum([0, *lengths])
        return [sums[start : start + a.size].reshape(a.shape) for start, a in zip(starts, arrays, strict=False)]

    def total(self, figures: Mapping[str, Any]) -> dict[str, Any]:  # noqa: D102
        (numbers,) = read([figures])
        (sums,) = self.sum([np.array(list(numbers.values()))])
        return dict(zip(numbers, sums, strict=True))

    def own(self, items: np.ndarray) -> np.ndarray:  # noqa: D102
        count = len(items) // self.size
        return items[self.rank * count : (self.rank + 1) * count]

    def gather(self, x: Any) -> Any:  # noqa: D102
        lengths = self._gather_equals(np.array([len(x)]))[:, 0]
        filled = np.zeros((lengths.max(), *x.shape[1:]), x.dtype)
        filled[: len(x)] = host(x)
        parts = self._gather_equals(filled)
        return xp(x).asarray(np.concatenate([part[:n] for part, n in zip(parts, lengths, strict=True)]))

    def rows(self, x: Any, indices: Any) -> Any:  # noqa: D102
        array, lengths = xp(x), self._gather_equals(np.array([len(x)]))[:, 0]
        here = indices - lengths[: self.rank].sum()
        mine = (here >= 0) & (here < len(x))
        found = x[here % len(x)] if len(x) else array.zeros((len(indices), *x.shape[1:]), x.dtype)
        (sums,) = self.sum([array.where(mine[:, None], found, array.zeros_like(found))])
        return sums

    def deal(self, batches: Iterator[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:  # noqa: D102
        for n in itertools.count():
            root, own = n % self.size, np.empty(shape, np.float32)
            batch = np.ascontiguousarray(next(batches), np.float32) if root == self.rank else None
            self.meet()
            self.comm.Scatter(batch, own, root)
            yield own

    def any(self, here: bool) -> bool:  # noqa: D102
        return bool(self._gather_equals(np.array([here], np.uint8)).any())

    def lines(self, lines: Sequence[str]) -> list[str]:  # noqa: D102
        text = self.gather(np.frombuffer("".join(f"{line}\n" for line in lines).encode(), np.uint8))
        return text.tobytes().decode().splitlines()

    def agree(self, what: str, text: str) -> None:  # noqa: D102
        digests = self._gather_equals(np.frombuffer(sha256(text.encode()).digest(), np.uint8))
        if differing := np.flatnonzero((digests != digests[0]).any(axis=1)).tolist():
            raise InputError(f"{what} are not the same for rank {differing[0]} as for rank 0")

    def _gather_equals(self, x: np.ndarray) -> np.ndarray:
        """x (...), of the same shape on every rank -> (size,...)."""
        parts = np.empty((self.size, *x.shape), x.dtype)
        self.meet()
        self.comm.Allgather(np.ascontiguousarray(x), parts)
        return parts
