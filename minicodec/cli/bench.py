"""`minicodec bench`: the speed of the operators on this machine."""

import argparse
import json
import os
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("ops", nargs="*", metavar="OP", help="measure only these, e.g. conv1d lstm (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer sizes, shorter runs: under a minute")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: as many as there are cores")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there, too")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")


def run(args: argparse.Namespace) -> int:
    """Measure and print; see minicodec/evaluation/bench.py."""
    if not 1 <= args.threads <= (os.cpu_count() or 1):
        raise InputError(f"--threads {args.threads}: this machine has 1 to {os.cpu_count()}")
    if args.json:
        check_target(args.json, args.force)
    # BLAS counts its threads when NumPy is imported, and Numba its own: tell them before.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
    os.environ.setdefault("NUMBA_NUM_THREADS", str(args.threads))

    from rich.console import Console

    from minicodec.evaluation import bench

    rows = bench.rows(args.quick)
    unknown = set(args.ops) - {row.op for row in rows}
    if unknown:
        raise InputError(f"no rows for {', '.join(sorted(unknown))}: choose from {', '.join({r.op: 0 for r in rows})}")
    chosen = [row for row in rows if row.op in args.ops or not args.ops]
    console = Console(width=None if Console().is_terminal else 120)
    figures = bench.run(chosen, 0.05 if args.quick else 0.3, args.threads, console)
    if args.json:
        with write_atomically(args.json, args.force) as path:
            path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0
