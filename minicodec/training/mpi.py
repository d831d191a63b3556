"""Training in several processes by way of MPI: `mpiexec -n 4 minicodec train ...`.

mpiexec starts the same command several times, on this machine or on others, and tells each process by environment
variables that it is one of many. Only where these stand is mpi4py imported.
"""

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.console import one_line, say
from minicodec.errors import InputError
from minicodec.ranks import ALONE, Ranks, Together
from minicodec.training import last_words

SIGNS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")  # MPICH and Intel MPI; Slurm; Open MPI
LOCAL_SIGNS = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
PATIENCE = 3.0  # seconds until a rank takes its error for its own alone
PROCESSORS = 1 << 16  # more than a machine has


def launched() -> bool:
    """Has an MPI launcher started this process?"""
    return any(sign in os.environ for sign in SIGNS)


def ranks() -> Ranks:
    """All that the launcher has started; ALONE without one. InputError: mpi4py is missing, or finds no MPI."""
    if not launched():
        return ALONE
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if any(os.environ.get(sign, "0") != "0" for sign in LOCAL_SIGNS):
            sys.exit(2)  # another process of this machine says it
        install = "pip install 'minicodec[mpi]'"
        if isinstance(error, ModuleNotFoundError):
            raise InputError(f"mpiexec started this, and mpi4py is not installed: {install}") from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)  # all the places it has looked in come after
        raise InputError(f"mpi4py cannot be used: {one_line(reason)}; {install} brings an MPI") from error
    return Together(MPI.COMM_WORLD)


def settle(ranks: Ranks, device: str) -> None:
    """Give this rank its part of its machine: one of the GPUs, or its share of the processors."""
    if not isinstance(ranks, Together):
        return
    from mpi4py import MPI

    neighbours = ranks.comm.Split_type(MPI.COMM_TYPE_SHARED)
    if device == "gpu":
        use_gpu(neighbours.Get_rank())
        return
    if "NUMBA_NUM_THREADS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return
    # What all of them together may use: a launcher may have given each its own, or all to all.
    mine, all_ = (np.zeros(PROCESSORS, np.uint8) for _ in range(2))
    mine[list(os.sched_getaffinity(0))] = 1
    neighbours.Allreduce(mine, all_, MPI.MAX)
    limit_threads(max(1, min(int(mine.sum()), int(all_.sum()) // neighbours.Get_size())))


def use_gpu(number: int) -> None:
    """Make one of the GPUs this process's own; they are dealt out in turn. InputError: there is none."""
    from minicodec.device import module

    cupy: Any = module("gpu")
    cupy.cuda.Device(number % cupy.cuda.runtime.getDeviceCount()).use()


def limit_threads(count: int) -> None:
    """Let this thread's work be shared among so many, at most."""
    try:
        import numba
    except ImportError:  # then there is one thread in any case
        return
    numba.set_num_threads(min(count, numba.get_num_threads()))


@contextmanager
def one_fate(ranks: Ranks) -> Iterator[None]:
    """An error in this block, on any rank, ends all of them, and is said once.

    If all have one, rank 0 raises it, and the others leave in silence. If it is one rank's own, the others wait for it
    in vain, so it says its line and ends them all.
    """
    if not isinstance(ranks, Together):
        yield
        return
    fate = ranks.comm.Dup()
    try:
        yield
    except BaseException as error:
        everybody, patient_until = fate.Ibarrier(), time.monotonic() + PATIENCE
        while not everybody.Test() and time.monotonic() < patient_until:
            time.sleep(0.01)
        if everybody.Test():
            if ranks.rank > 0 and not isinstance(error, SystemExit):
                sys.exit(2 if isinstance(error, InputError) else 130 if isinstance(error, KeyboardInterrupt) else 1)
            raise
        if not isinstance(error, InputError | KeyboardInterrupt):
            traceback.print_exc()
        say(f"minicodec: rank {ranks.rank}: {one_line(error) or type(error).__name__}")
        fate.Abort(2 if isinstance(error, InputError) else 1)


@contextmanager
def with_last_words(ranks: Ranks, folder: Path) -> Iterator[None]:
    """If a rank dies in this block, say how to go on.

    The launcher kills all others at once. So rank 0 has a process beside it that has no part in this, and speaks when
    it finds itself alone.
    """
    if not isinstance(ranks, Together) or ranks.rank > 0:
        yield
        return
    command = [sys.executable, "-I", "-S", last_words.__file__, str(folder)]
    # Its stderr is Python's: descriptor 2 may lead through this process [cli/decoder_messages.py], which ends before.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=sys.stderr, start_new_session=True)
    assert watcher.stdin
    try:
        yield
    finally:
        watcher.stdin.write(last_words.ALL_IS_WELL)
        watcher.stdin.close()
        watcher.wait()
