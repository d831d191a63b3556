"""`minicodec bench`: the speed of everything on this machine, alone or beside PyTorch."""

import argparse
import json
import os
import sys
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically

FILES = ("bench.json", "bench.md", "bench.png", "roofline.png")
ROUNDS, QUICK_ROUNDS = 5, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help="ops, cases, or names of some, e.g. conv1d encoder (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, on the smaller preset: in a minute")
    parser.add_argument("--threads", type=int, nargs="+", metavar="N", help="default: 1 and as many as there are cores")
    parser.add_argument("--peer", choices=("torch",), help="measure PyTorch on the same work, and torch.compile")
    parser.add_argument("--preset", help="encodec_24khz (default) or mini_24khz (default with --quick)")
    parser.add_argument("--rounds", type=int, help=f"turns of each rival (default: {ROUNDS}; quick: {QUICK_ROUNDS})")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"write {', '.join(FILES)} there")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite them")


def run(args: argparse.Namespace) -> int:
    """Measure and print; see minicodec/evaluation/bench."""
    cores = os.cpu_count() or 1
    threads = tuple(dict.fromkeys(args.threads or (1, cores)))
    for n in threads:
        if not 1 <= n <= cores:
            raise InputError(f"--threads {n}: this machine has 1 to {cores}")
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    if rounds < 1:
        raise InputError(f"--rounds {rounds}: at least 1")
    if args.out:
        if args.out.exists() and not args.out.is_dir():
            raise InputError(f"{args.out}: is no folder")
        args.out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            check_target(args.out / name, args.force)

    from minicodec.evaluation.bench import cases, ops, run as bench

    preset = args.preset or ("mini_24khz" if args.quick else "encodec_24khz")
    if preset not in cases.PRESETS:
        raise InputError(f"--preset {preset}: choose {' or '.join(cases.PRESETS)}")
    all_ops = tuple(dict.fromkeys(row.op for row in ops.rows(args.quick)))
    all_cases = tuple(cases.cases(args.quick))
    kinds = tuple(dict.fromkeys(case.kind for case in all_cases))
    what = set(args.what or ("ops", "cases"))
    unknown = what - {"ops", "cases", *all_ops, *kinds}
    if unknown:
        names = ", ".join(("ops", "cases", *all_ops, *kinds))
        raise InputError(f"nothing is called {', '.join(sorted(unknown))}: choose from {names}")
    settings = bench.Settings(
        preset=preset,
        quick=args.quick,
        threads=threads,
        rounds=rounds,
        peer=args.peer,
        ops=tuple(op for op in all_ops if op in what or "ops" in what),
        cases=tuple(case for case in all_cases if case.kind in what or "cases" in what),
    )

    from rich.console import Console

    from minicodec.evaluation.bench import report as reports

    report = bench.run(settings, lambda line: print(line, file=sys.stderr, flush=True))
    console = Console(width=None if Console().is_terminal else 200)
    for headings, rows in (reports.op_rows(report), reports.case_rows(report)):
        if rows:
            console.print(reports.rich_table(headings, rows))
    for line in (reports.machine_line(report), *reports.notes(report)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if args.out:
        from minicodec.evaluation.bench import pictures

        for name, text in (("bench.json", json.dumps(report, indent=1) + "\n"), ("bench.md", reports.markdown(report))):
            with write_atomically(args.out / name, args.force) as path:
                path.write_text(text, encoding="utf-8")
        if report["cases"]:
            pictures.cases_picture(report, args.out / "bench.png")
        if report["ops"]:
            pictures.roofline(report, args.out / "roofline.png")
    return 0
