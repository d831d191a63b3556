"""Processes that are killed at random moments, by the system (SIGKILL) or by Ctrl-C (SIGINT), several at once too.

After each kill every file that has its final name is whole. After Ctrl-C nothing else is left; after SIGKILL what was
begun lies in hidden folders, which the next run removes. A job that was killed goes on, is killed again, and in the
end has the bytes of one that was never stopped.

Jobs are forks of this process, which has everything loaded: so the moments fall into their work, not into imports.
"""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minicodec.cli import main as minicodec
from minicodec.training import checkpoint
from tests.campaign.samples import RECIPE, Samples

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
AT_ONCE = 3
KILLS = 4  # at most, of one job before it is let go on to its end
PATIENCE = 120.0  # seconds in which an interrupted process must have ended


@dataclass
class Job:
    """begin, go_on: the arguments of a command, given its folder; parts: the files that it makes, as patterns."""

    name: str
    begin: Callable[[Path], list[object]]
    go_on: Callable[[Path], list[object]]
    parts: tuple[str, ...]
    shared: bool = False  # may several write into the same folder at the same time?
    seconds: float = 0.0  # that it takes alone
    result: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Count:
    """What happened to the jobs of a name."""

    sigkill: int = 0
    sigint: int = 0
    too_late: int = 0
    finished: int = 0
    leftovers: int = 0
    faults: list[str] = field(default_factory=list)


def jobs(samples: Samples) -> list[Job]:
    """All kinds."""
    model, sounds, packets = (samples.path(name) for name in ("small.safetensors", "sounds", "packets"))
    data = samples.path("data")
    recipe = ["steps=12", "checkpoint_every=2", "validate_every=6", *RECIPE[1:5], *RECIPE[7:]]
    model_options = ["seanet.filters=2", "seanet.latent=4", "quantizer.levels=2", "quantizer.entries=16",
                     "bandwidths=[0.3,0.6]"]  # fmt: skip
    lm = ["steps=8", "batch=1", "seconds=0.1", "checkpoint_every=2", "validate_every=4", "valid_chunks=1",
          "log_every=1", "model.D=8", "model.layers=1", "model.heads=2", "model.hidden=8"]  # fmt: skip
    coded = ["-m", model, "-q", "-f"]

    def encode(folder: Path) -> list[object]:
        return ["encode", sounds, "-o", f"{folder}/out/", "-b", "2", *coded]

    def decode(folder: Path) -> list[object]:
        return ["decode", packets, "-o", f"{folder}/out/", *coded]

    def evaluate(folder: Path) -> list[object]:
        return ["evaluate", model, "--data", sounds, "--out", folder / "out", "--files", "all", "--kbps", "2", "--jobs",
                "1", "--baselines", "--metrics", "si_sdr", "--seconds", "0.6"]  # fmt: skip

    def train(folder: Path) -> list[object]:
        return ["train", "tiny_24khz", "--data", data, "--out", folder / "out", "--set", *model_options,
                *recipe]  # fmt: skip

    def train_lm(folder: Path) -> list[object]:
        return ["train-lm", model, "--data", data, "--out", folder / "out", "--set", *lm]

    def resumed(command: str, mark: str, begin: Callable[[Path], list[object]]) -> Callable[[Path], list[object]]:
        return lambda folder: [command, "--resume", folder / "out"] if (folder / mark).exists() else begin(folder)

    return [
        Job("encode", encode, encode, ("out/*.ecdc",), shared=True),
        Job("decode", decode, decode, ("out/*.wav",), shared=True),
        Job("train", train, resumed("train", "out/run.json", train),
            ("out/checkpoints/*12.safetensors", "out/model.*")),
        Job("train-lm", train_lm, resumed("train-lm", "out/lm/run.json", train_lm),
            ("out/lm.safetensors", "out/lm/checkpoints/*08.safetensors", "out/lm/codes/*/*.npy")),
        Job("evaluate", evaluate, evaluate, ("out/results.csv", "out/clips/*/rows.json", "out/clips/*/*.wav")),
    ]  # fmt: skip


def main(kills: int, seed: int) -> int:
    """Kill so many; a table of what came of it. 0 if all is well."""
    rng = np.random.default_rng([seed, 19])
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "samples").mkdir()
        samples = Samples(Path(place) / "samples")
        _more(samples, rng)
        kinds = jobs(samples)
        counts = {job.name: Count() for job in kinds}
        for job in kinds:
            folder = Path(place) / f"{job.name}-alone"
            (folder / "out").mkdir(parents=True)
            (folder / "out").rmdir()
            begun = time.monotonic()
            status, said = _wait(_fork(job.begin(folder), folder / "said"), folder / "said")
            if status != 0:
                raise RuntimeError(f"{job.name} alone ended with status {status}: {said}")
            job.seconds, job.result = time.monotonic() - begun, _result(job, folder)
            print(f"{job.name} alone: {job.seconds:.2f} s, {len(job.result)} files", flush=True)
        number = 0
        while sum(one.sigkill + one.sigint for one in counts.values()) < kills:
            number += 1
            job = kinds[number % len(kinds)]
            together = int(rng.integers(1, AT_ONCE + 1))
            _chain(
                job, [Path(place) / f"{number}-{i * (not job.shared)}" for i in range(together)], rng, counts[job.name]
            )
    print(f"{'job':10} {'SIGKILL':>8} {'SIGINT':>8} {'too late':>9} {'finished':>9} {'left over':>10} {'faults':>7}")
    for name, one in counts.items():
        print(f"{name:10} {one.sigkill:8} {one.sigint:8} {one.too_late:9} {one.finished:9} {one.leftovers:10} "
              f"{len(one.faults):7}")  # fmt: skip
    return 1 if any(one.faults for one in counts.values()) else 0


def _more(samples: Samples, rng: np.random.Generator) -> None:
    """Folders of sounds and of packets, for commands that take several."""
    for name in ("sounds", "packets"):
        samples.path(name).mkdir()
    for i in range(4):
        wav = 0.1 * rng.normal(size=(1, 6000)).astype(np.float32)
        samples.path(f"packets/{i}.ecdc").write_bytes(samples.codec.compress(wav, 2.0))
        shutil.copy(samples.path(f"data/{i % 2}.wav"), samples.path(f"sounds/{i}.wav"))


def _chain(job: Job, folders: list[Path], rng: np.random.Generator, count: Count) -> None:
    """Begin jobs at the same time and kill them, again and again; then let them end, and look at what they made."""
    for folder in set(folders):
        folder.mkdir()
    for _ in range(int(rng.integers(1, KILLS + 1))):
        running = [_fork(job.go_on(folder), folder / f"said-{i}") for i, folder in enumerate(folders)]
        for i, (process, folder) in enumerate(zip(running, folders, strict=True)):
            time.sleep(job.seconds * float(rng.random()) * (1.2 if i == 0 else 0.2))
            kind = signal.SIGKILL if rng.random() < 0.5 else signal.SIGINT
            os.kill(process, kind)
            status, said = _wait(process, folder / f"said-{i}")
            if status == -signal.SIGKILL:
                count.sigkill += 1
            elif status == 130:
                count.sigint += 1
            elif status == 0:
                count.too_late += 1
            else:
                _fault(count, job, folder, f"killed by {kind.name}, it ended with status {status}: {said}")
            if status == 130 and "Traceback" in said:
                _fault(count, job, folder, f"interrupted, it says {said}")
            count.leftovers += _look(job, folder, count)
    for folder in dict.fromkeys(folders):
        status, said = _wait(_fork(job.go_on(folder), folder / "said"), folder / "said")
        if status != 0:
            _fault(count, job, folder, f"does not go on, status {status}: {said}")
            continue
        result = _result(job, folder)
        if result != job.result:
            wrong = sorted(name for name in result.keys() | job.result if result.get(name) != job.result.get(name))
            _fault(count, job, folder, f"ends otherwise than without a kill: {wrong}")
        if left := [str(p) for p in _unfinished(folder)]:
            _fault(count, job, folder, f"left behind: {left}")
        count.finished += 1


def _fork(argv: list[object], said: Path) -> int:
    """Start a command in a fork of this process; what it prints goes to a file."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout = open(1, "w", closefd=False, buffering=1, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, buffering=1, encoding="utf-8")  # noqa: SIM115
        status = minicodec([str(a) for a in argv])
    except KeyboardInterrupt:  # before the command began, or after it had ended
        status = 130
    except BaseException as error:
        print(f"Traceback: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _wait(process: int, said: Path) -> tuple[int, str]:
    """Exit status, or minus the signal that ended it; and the end of what it said."""
    end = time.monotonic() + PATIENCE
    while (ended := os.waitpid(process, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    return os.waitstatus_to_exitcode(ended[1]), text[-400:]


def _unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*.tmp") if UNFINISHED.fullmatch(path.name)]


def _look(job: Job, folder: Path, count: Count) -> int:
    """Are all files whole that have their final names? The number of hidden folders with what was begun."""
    unfinished = _unfinished(folder)
    for path in folder.rglob("*"):
        if not path.is_file() or any(parent in unfinished for parent in path.parents):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            if path.parent.name == "checkpoints":
                checkpoint.load(path)
            elif name in job.result and (path.suffix in (".ecdc", ".npy") or job.name == "decode"):
                assert path.read_bytes() == job.result[name], "is not whole"
            elif path.suffix == ".json":
                json.loads(path.read_bytes())
        except Exception as error:
            _fault(count, job, folder, f"{name}: {error}")
    return len(unfinished)


def _result(job: Job, folder: Path) -> dict[str, bytes]:
    files = sorted(path for pattern in job.parts for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _fault(count: Count, job: Job, folder: Path, words: str) -> None:
    count.faults.append(words)
    print(f"FAULT {job.name} {folder.name}: {words}", flush=True)
