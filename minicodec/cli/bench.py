"""`minicodec bench`: the speed of everything on this machine, alone or beside PyTorch and others."""

import argparse
import difflib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicodec.bench import ENGINES
from minicodec.device import module
from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically

FILES = ("bench.json", "bench.md", "bench.png", "roofline.png", "curve.png")
ROUNDS, QUICK_ROUNDS = 5, 1
GROUPS = ("ops", "cases", "start", "command", "curve", "targets")
EXAMPLES = """\
examples:
  minicodec bench --quick                                  a first look, in a minute
  minicodec bench targets --peer torch --eager             all that has a target: half an hour
  minicodec bench encoder --peer onnxruntime --peer openvino   against engines that only run networks
  minicodec bench command --peer encodec                   `minicodec encode` and the released package
  minicodec bench encoder lstm --peer torch --rounds 9     these two, and torch.compile as well
  minicodec bench curve --peer torch --eager --out bench   by length, batch, threads, channels: half an hour
  minicodec bench curve --peer torch --eager --out bench --resume   and on, if it was stopped
  minicodec bench --peer torch --out bench                 all but curve, with pictures: some hours
  minicodec bench --device gpu --peer torch                whole files and training on the GPU

Run it on a machine that does nothing else. WHAT: ops are single operators, cases the codec in use and in training,
start the first use and memory, command `minicodec encode` as a whole, curve how the cost grows with length, batch and
channels, targets all cases that have a target, start and command. torch.compile gets five minutes for each case; after
that the table says "fails". Every figure comes with its spread.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help=f"{', '.join(GROUPS)}, or names of ops and cases (default: all but curve)",
    )
    parser.add_argument("--quick", action="store_true", help="the cases, on less audio: a first look, in a minute")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 and as many as there are cores")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="gpu: on CUDA")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        choices=("torch", *ENGINES, "encodec"),
        help="measure PyTorch on the same work, and torch.compile; or an engine, on what PyTorch exports; or the "
        "released package, on the whole command (repeatable)",
    )
    parser.add_argument("--eager", action="store_true", help="leave torch.compile out, which takes minutes to start")
    parser.add_argument("--preset", help="encodec_24khz (default) or mini_24khz (default with --quick)")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help=f"turns of each rival (default: {ROUNDS}; quick: {QUICK_ROUNDS})"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"write {', '.join(FILES)} there")
    parser.add_argument("--resume", action="store_true", help="measure what is not yet in DIR/bench.json")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite them")


def run(args: argparse.Namespace) -> int:
    """Measure and print; see minicodec/bench."""
    if args.resume and not args.out:
        raise InputError("--resume: needs --out, the folder to go on with")
    if args.out:
        check_folder(args.out, args.force or args.resume)
    settings = chosen(args)
    module(settings.device)  # InputError: there is no such GPU here

    from rich.console import Console

    from minicodec.bench import report as reports, run as bench
    from minicodec.evaluation.tables import fitting

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def keep(report: dict[str, Any]) -> None:
        if args.out:
            with write_atomically(args.out / "bench.json", overwrite=True) as path:
                path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    begun = bench.begun(args.out / "bench.json", settings) if args.resume else None
    with ending_on_sigterm():
        report = bench.run(settings, say, begun, keep)
    console = Console(width=None if Console().is_terminal else 250)
    for headings, rows in reports.tables(report):
        for columns in fitting(headings, rows, console.width, reports.LEADING[headings[0]]):
            shown = [[row[i] for i in columns] for row in rows]
            console.print(reports.rich_table([headings[i] for i in columns], shown))
            console.print()
    for line in (reports.machine_line(report), *reports.notes(report)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if args.out:
        keep(report)
        write(report, args.out)
    return 0


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """In this block SIGTERM raises SystemExit: the process that measures must not outlive the one that sent it out."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears of signals
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_folder(folder: Path, force: bool) -> None:
    """Make it. InputError: nothing can be written there, or only over what is there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is no folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        check_target(folder / name, force)


def write(report: dict[str, Any], folder: Path) -> None:
    """FILES but bench.json; no picture of what was not measured."""
    from minicodec.bench import pictures, report as reports

    with write_atomically(folder / "bench.md", overwrite=True) as path:
        path.write_text(reports.markdown(report), encoding="utf-8")
    if report["ratios"]:
        pictures.ratio_bars(report, folder / "bench.png")
    if report["ops"]:
        pictures.roofline(report, folder / "roofline.png")
    if any(r["filters"] for r in report["cases"]):  # which the curve alone has
        pictures.curve(report, folder / "curve.png")


def chosen(args: argparse.Namespace) -> Any:
    """The `Settings` that the arguments ask for. InputError: there is no such thing to measure."""
    cores = os.cpu_count() or 1
    on_gpu = args.device == "gpu"
    # The processor has little to do beside a GPU, and all its threads for that.
    threads = tuple(dict.fromkeys(args.threads or ((cores,) if on_gpu else (1, cores))))
    for n in threads:
        if not 1 <= n <= cores:
            raise InputError(f"--threads {n}: this machine has 1 to {cores}")
    rounds = (QUICK_ROUNDS if args.quick else ROUNDS) if args.rounds is None else args.rounds
    if rounds < 1:
        raise InputError(f"--rounds {rounds}: at least 1")

    from minicodec.bench import cases, ops, run as bench

    preset = args.preset or ("mini_24khz" if args.quick else "encodec_24khz")
    if preset not in cases.PRESETS:
        raise InputError(f"--preset {preset}: choose {' or '.join(cases.PRESETS)}")
    all_ops = tuple(dict.fromkeys(row.op for row in ops.rows(args.quick)))
    all_cases = tuple(cases.cases(args.quick, args.device))
    kinds = tuple(dict.fromkeys(case.kind for case in all_cases))
    # Start-up is none of the GPU's business. A first look has a dozen rows.
    every = ("ops", "cases") if on_gpu else ("ops", "cases", "start", "command")
    what = set(args.what or (("cases",) if args.quick else every))
    unknown = what - {*GROUPS, *all_ops, *kinds}
    if unknown:
        names = (*GROUPS, *all_ops, *kinds)
        near = [hit for word in sorted(unknown) for hit in difflib.get_close_matches(word, names, n=2)]
        advice = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"choose from {', '.join(names)}"
        raise InputError(f"nothing is called {', '.join(sorted(unknown))}: {advice}")
    aimed = {case for case in all_cases if case.target} if "targets" in what else set()
    chosen_cases = [case for case in all_cases if case.kind in what or "cases" in what or case in aimed]
    return bench.Settings(
        preset=preset,
        quick=args.quick,
        threads=threads,
        rounds=rounds,
        peers=tuple(dict.fromkeys(args.peer)),
        compiled=not (args.eager or args.quick or on_gpu),
        ops=tuple(op for op in all_ops if op in what or "ops" in what),
        cases=tuple(dict.fromkeys([*chosen_cases, *(cases.curve(args.quick) if "curve" in what else ())])),
        start=bool(what & ({"start"} if on_gpu else {"start", "targets"})),
        command=bool(what & ({"command"} if on_gpu else {"command", "targets"})),
        device=args.device,
    )
