"""Everything that has to be shown on a device, one step after the other, into one folder.

For whoever gets hold of a GPU for an hour. A step that fails is recorded, and the next one begins. After each of them
DIR/summary.md says what came of all so far; what a step said is in DIR/NAME.log.

    tests        the operators, the training and the kernels on the device, held against their definitions and PyTorch
    sanitizer    NVIDIA's compute-sanitizer watches the kernels: addresses, races, barriers
    graphs       a training step kernel by kernel and as a CUDA graph, a copy through pinned memory: speed, same bits
    bench        DIR/bench: the speed of all, beside PyTorch's where that is installed
    training     DIR/run: mini_24khz with its adversary, for so many minutes: curves, checkpoints, samples
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import minicodec
from minicodec.errors import InputError
from minicodec.files import write_atomically

NAMES = ("tests", "sanitizer", "graphs", "bench", "training")
TESTS = ("test_ops*.py", "test_gpu*.py", "test_cuda*.py", "parity/test_training_step.py", "parity/test_torch_layers.py")
TOOLS = ("memcheck", "racecheck", "synccheck")  # of compute-sanitizer
HOUR = 3600.0
GRACE = 300.0  # seconds that a training gets to save its state
SAID = 12  # last lines of a step that failed, in the summary
ENDLESS = 10_000_000  # steps: the clock ends the training

# A pool hands out blocks that are larger than what was asked for: whoever writes beyond an array's end would hit
# nothing that the sanitizer knows. So the tests run without one.
WATCHED = (
    "import sys, cupy, pytest; cupy.cuda.set_allocator(None); "
    "sys.exit(pytest.main(['-n', '0', '-p', 'no:cacheprovider', '-k', 'real', sys.argv[1]]))"
)


@dataclass(frozen=True)
class Plan:
    """What to show. device: "cpu" or "gpu"; minutes: of training; quick: less of everything; names: which steps."""

    device: str
    data: Path
    out: Path
    minutes: float
    quick: bool
    settings: tuple[str, ...]
    names: tuple[str, ...] = NAMES


@dataclass(frozen=True)
class Step:
    """A process. limit: seconds, after which it is ended; patient: then it is asked to stop, which is no failure."""

    name: str
    command: tuple[str, ...]
    limit: float = HOUR
    patient: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a step. good: None if it was left out; what: "done", or why not; seconds it took."""

    name: str
    good: bool | None
    what: str
    seconds: float = 0.0


def show(plan: Plan, say: Callable[[str], None]) -> list[Outcome]:
    """Do it all."""
    outcomes: list[Outcome] = []
    for step in steps(plan):
        if isinstance(step, Outcome):
            outcomes.append(step)
        else:
            say(f"{step.name}: {' '.join(step.command[:6])} ...")
            outcomes.append(perform(step, plan.out / f"{step.name}.log"))
        say(f"{outcomes[-1].name}: {outcomes[-1].what}")
        with write_atomically(plan.out / "summary.md", overwrite=True) as path:
            path.write_text(summary(plan, outcomes), encoding="utf-8")
    return outcomes


def steps(plan: Plan) -> list[Step | Outcome]:
    """What is to be done, in order; an Outcome for what cannot be done here."""
    python, on_gpu = sys.executable, plan.device == "gpu"
    device = ("--device", "gpu") if on_gpu else ()
    every: list[Step | Outcome] = []
    tests = Path(minicodec.__file__).parent.parent / "tests"
    files = [str(file) for pattern in TESTS for file in sorted(tests.glob(pattern))]
    if files:
        pytest = (python, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider")
        every.append(Step("tests", (*pytest, *(files[:1] if plan.quick else files))))
    else:
        every.append(Outcome("tests", None, f"left out: there is no {tests}; run this from a checkout"))

    sanitizer = shutil.which("compute-sanitizer")
    if not (on_gpu and sanitizer and files):
        reason = "no GPU" if not on_gpu else "compute-sanitizer is not installed" if not sanitizer else "no tests"
        every.append(Outcome("sanitizer", None, f"left out: {reason}"))
    else:
        for tool in TOOLS:
            watched = (python, "-c", WATCHED, str(tests / "test_gpu_ops.py"))
            every.append(Step(f"sanitizer-{tool}", (sanitizer, "--tool", tool, "--error-exitcode", "99", *watched)))

    if on_gpu:
        graphs = (python, "-m", "minicodec.evaluation.graphs")
        every.append(Step("graphs", (*graphs, "--quick") if plan.quick else graphs))
    else:
        every.append(Outcome("graphs", None, "left out: no GPU"))

    bench = (python, "-m", "minicodec", "bench", *device, "--out", str(plan.out / "bench"))
    peer = ("--peer", "torch", "--eager") if find_spec("torch") else ()
    less = ("adam", "linear", "--quick") if plan.quick and not on_gpu else ("--quick",) if plan.quick else ()
    every.append(Step("bench", (*bench, *peer, *less)))

    train = (python, "-m", "minicodec", "train", "mini_24khz", *device, "--data", str(plan.data))
    settings = ("--set", *plan.settings) if plan.settings else ()
    run = ("--out", str(plan.out / "run"), "--steps", str(ENDLESS), *settings)
    every.append(Step("training", (*train, *run), 60 * plan.minutes, patient=True))
    return [step for step in every if step.name.partition("-")[0] in plan.names]


def perform(step: Step, log: Path) -> Outcome:
    """Run it to its end, or to its limit; what it says goes to the log."""
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        file.write(f"$ {' '.join(step.command)}\n")
        file.flush()
        try:
            # A session of its own: what it has started ends with it, and Ctrl-C here is not for it.
            process = subprocess.Popen(step.command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            return Outcome(step.name, False, f"FAILED: {error}")
        try:
            good, what = _wait(process, step)
        except BaseException:
            _end(process)
            raise
    return Outcome(step.name, good, what, time.monotonic() - start)


def _wait(process: subprocess.Popen[bytes], step: Step) -> tuple[bool, str]:
    try:
        status = process.wait(step.limit)
        return status == 0, "done" if status == 0 else f"FAILED with exit status {status}"
    except subprocess.TimeoutExpired:
        if not step.patient:
            _end(process)
            return False, f"FAILED: not done in {step.limit:g} s"
    process.send_signal(signal.SIGINT)
    try:
        status = process.wait(GRACE)
    except subprocess.TimeoutExpired:
        _end(process)
        return False, f"FAILED: did not stop within {GRACE:g} s"
    stopped = status == 128 + signal.SIGINT
    return stopped, f"stopped after {step.limit:g} s, as planned" if stopped else f"FAILED with exit status {status}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# The summary


def summary(plan: Plan, outcomes: Sequence[Outcome]) -> str:
    """As Markdown: what came of each step; what failed says why; the bench's tables, how far the training came."""
    version = f"minicodec {minicodec.__version__} on the {plan.device}"
    lines = [f"# {version}{', a rehearsal on less of everything' if plan.quick else ''}", ""]
    lines += ["| step | outcome | seconds |", "|---|---|---|"]
    lines += [f"| {o.name} | {o.what} | {o.seconds:.0f} |" for o in outcomes]
    lines += ["", *_device(plan.device)]
    for outcome in outcomes:
        log = plan.out / f"{outcome.name}.log"
        if log.is_file() and outcome.good is not None:
            said = log.read_text(encoding="utf-8", errors="replace").splitlines()
            lines += ["", f"## {outcome.name}", "", "```", *said[1:][-SAID if not outcome.good else -1 :], "```"]
        if outcome.name == "bench" and (table := plan.out / "bench" / "bench.md").is_file():
            lines += ["", table.read_text(encoding="utf-8")]
        if outcome.name == "training" and (record := plan.out / "run" / "log.jsonl").is_file():
            lines += ["", *_training(record)]
    return "\n".join(lines) + "\n"


def _device(device: str) -> list[str]:
    """What nvidia-smi says of the GPU."""
    smi = shutil.which("nvidia-smi") if device == "gpu" else None
    if smi is None:
        return []
    query = [smi, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, text=True, capture_output=True, check=False)
    return [f"GPU, driver, memory: {line}" for line in (answer.stdout or answer.stderr).strip().splitlines()]


def _training(record: Path) -> list[str]:
    """The last step and the last validation of a training's log."""
    entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    last = {"step": next((e for e in reversed(entries) if "loss" in e), None)}
    last["validation"] = next((e for e in reversed(entries) if "rates" in e), None)
    return [f"last {what}: {json.dumps(entry)}\n" for what, entry in last.items() if entry]


def check(plan: Plan) -> None:
    """InputError for what would make all of it fail: asked before an hour has passed."""
    if not plan.data.is_dir():
        raise InputError(f"{plan.data}: is no folder of audio files")
    if plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
        raise InputError(f"{plan.out}: exists already, and is not an empty folder")
    if not plan.minutes > 0:
        raise InputError(f"--minutes {plan.minutes:g}: more than 0")
    plan.out.mkdir(parents=True, exist_ok=True)
