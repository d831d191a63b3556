"""`minicodec encode`, `decode` and `codes` on a folder: options, a bar, and what came of it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicodec.cli.options import add_cluster
from minicodec.cli.text import count
from minicodec.codec.foreign.released import RELEASED
from minicodec.codec.pretrained import BUNDLED
from minicodec.console import one_line
from minicodec.corpus import tree
from minicodec.corpus.index import NAME, Record
from minicodec.corpus.run import FAILED, Act, Done, Files, Output, drop_replaced, left, open_index, run, write_failures
from minicodec.corpus.shards import Shards, broken, there
from minicodec.corpus.tree import Failure, Source
from minicodec.errors import InputError
from minicodec.lock import Lock

EVERY = 10.0  # seconds between plain lines
HELP = f"""\
A folder into a folder, for corpora of any size:
  All folders below are searched and mirrored in OUT; names that begin with a dot are left out. The files are shared
  out to --jobs processes, or to the workers of a Dask cluster; the results are the same bytes. OUT/{NAME} tells
  what was made of which file. So the same command goes on where it was stopped, and does again what has changed:
  another size or time of a file, or with --check another checksum. Whatever failed is named in OUT/{FAILED}, and the
  exit status is 1; the next run tries it again. Another model or rate needs another OUT, or -f.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """--jobs, --cluster, --check."""
    text = "of a folder: processes; by default as many as cores, on a GPU one"
    parser.add_argument("--jobs", type=int, metavar="N", help=text)
    add_cluster(parser)
    parser.add_argument(
        "--check", action="store_true", help="of a folder: compare checksums of what is done, not sizes and times"
    )


def refuse_options(args: argparse.Namespace) -> None:
    """InputError: options that only a folder into a folder has."""
    for name in ("jobs", "cluster", "check"):
        if getattr(args, name):
            raise InputError(f"--{name}: is for one folder into another: minicodec encode FOLDER OUT_FOLDER")


def everywhere(path: str) -> str:
    """The name of a model or file, as processes in other folders can use it."""
    known = path in (BUNDLED, *RELEASED) and not os.path.exists(path)
    return path if known else str(Path(path).absolute())


@dataclass(frozen=True)
class Conversion:
    """What a command makes of a folder.

    reads, what     suffixes of the files, and what they are called
    rename          name of a file -> name of what becomes of it
    settings        what decides about the results
    make, arguments make(*arguments) is what does a file, in each process [corpus/run.py]
    shard_seconds   of sound in a file, about, if results share files; None: each has its own
    """

    reads: Set[str]
    what: str
    rename: Callable[[Path], Path]
    settings: Record
    make: Callable[..., Act]
    arguments: tuple[Any, ...]
    shard_seconds: float | None = None


def convert(args: argparse.Namespace, folders: tuple[Path, Path], made: Conversion) -> int:
    """Convert one folder into the other -> the exit status."""
    folder, out = (path.absolute() for path in folders)
    jobs = args.jobs if args.jobs is not None else 1 if args.device == "gpu" else os.cpu_count() or 1
    if jobs < 1:
        raise InputError("--jobs: from 1 on makes sense")
    sources, failures = tree.find(folder, made.reads, out)
    if not sources and not failures:
        raise InputError(f"{folders[0]}: is a folder without {made.what}")
    targets = {} if made.shard_seconds else tree.targets(sources, made.rename)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folders[1]}: cannot be written ({error.strerror})") from error
    with Lock(out).held():
        taken = there(out) if made.shard_seconds else [out / name for name in targets.values()]
        index = open_index(out, made.settings, taken, args.force)
        drop_replaced(index, targets)
        todo = left(sources, index, folder, args.check)
        output: Output = Files(targets)
        if made.shard_seconds:
            for shard in taken if args.force else ():
                shard.unlink()
            todo = broken(index, todo, sources)
            output = Shards(index, made.settings["format"], made.shard_seconds)
        index.begin()
        work = run(folder, index, output, todo, made.make, made.arguments, jobs, args.cluster)
        finished, seconds, began = 0, 0.0, time.perf_counter()
        try:
            with shown(todo, args) as show:
                for done in work:
                    for result in done.results:
                        if isinstance(result, Failure):
                            failures.append(result)
                            continue
                        finished, seconds = finished + 1, seconds + result["seconds"]
                        for line in () if args.quiet else result["notices"]:
                            print(f"minicodec: {one_line(line)}", file=sys.stderr)
                    show(done, seconds)
        finally:
            index.sort()
            write_failures(out, failures)
    took = time.perf_counter() - began
    if not args.quiet:
        print(f"{folders[1]}: {summary(finished, len(sources) - len(todo), seconds, took)}")
    if failures:
        print(f"minicodec: {count(len(failures), 'file')} failed: {folders[1] / FAILED} says why", file=sys.stderr)
    return 1 if failures else 0


def summary(done: int, skipped: int, seconds: float, took: float) -> str:
    """One line about a run."""
    before = f"; {count(skipped, 'file')} had been done before" if skipped else ""
    return f"{count(done, 'file')}, {seconds / 3600:.2f} h of audio in {took:.0f} s{before}"


@contextmanager
def shown(todo: Iterable[Source], args: argparse.Namespace) -> Iterator[Callable[[Done, float], None]]:
    """How far it is: a bar on a terminal, with -v a plain line now and then elsewhere; both on stderr.

    What is yielded is called with what is done, and the seconds of sound so far.
    """
    if args.quiet or not (sys.stderr.isatty() or args.verbose):
        yield lambda done, seconds: None
        return
    total, began = sum(source.guess for source in todo), time.perf_counter()

    def speed(seconds: float) -> str:
        rate = seconds / 3600 / max(time.perf_counter() - began, 1e-9)
        return f"{seconds / 3600:.2f} h of audio, {rate:.4f} h/s"

    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        # Not drawn by a thread of its own: with --jobs 1 that would meet decoders whose messages are collected.
        with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
            task = bar.add_task("", total=total)
            yield lambda done, seconds: bar.update(task, advance=done.guess, description=speed(seconds), refresh=True)
        return
    guessed, printed = 0.0, began

    def line(done: Done, seconds: float) -> None:
        nonlocal guessed, printed
        guessed += done.guess
        now = time.perf_counter()
        if now - printed >= EVERY:
            printed = now
            left = round(max(0.0, total - guessed) * (now - began) / guessed)
            clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
            print(f"{speed(seconds)}  {clock} left", file=sys.stderr, flush=True)

    yield line
