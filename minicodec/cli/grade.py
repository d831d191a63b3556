"""`minicodec grade`: points for the exercises in many students' notebooks."""

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically

EPILOG = """\
A folder's subfolders are one submission each, as are the notebooks and .py files that lie in it. Of each file only
imports, functions, classes and constants are run, then every exercise is called with sizes and numbers drawn from
--seed. Beside FILE.csv come FILE.xml (JUnit) and FILE.gradescope/NAME.json.

It guards against accidents, not against attacks: grade the code of strangers inside a container.

example:
  minicodec grade submissions/ --chapter 3 --seed 2027 --out grades.csv
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="notebooks, .py files, folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="a line per student and exercise")
    parser.add_argument("--seed", type=int, default=0, help="draws sizes and numbers; the same for all (default: 0)")
    parser.add_argument("--chapter", type=int, nargs="+", default=[], metavar="N", help="only these (default: all)")
    parser.add_argument("--variant", nargs="+", default=[], metavar="NAME", help="exercises to replace their originals")
    parser.add_argument("--seconds", type=float, default=20, help="processor time for each exercise (default: 20)")
    parser.add_argument("--memory", type=float, default=4, help="GiB of addresses for each process (default: 4)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="students at a time (default: all cores)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the files")


def run(args: argparse.Namespace) -> int:
    """Grade, write, and print a line for each student."""
    if args.out.suffix != ".csv":
        raise InputError(f"{args.out}: must end in .csv")
    if args.seconds <= 0 or args.memory <= 0:
        raise InputError("--seconds and --memory must be positive")
    junit, gradescope = args.out.with_suffix(".xml"), args.out.with_suffix(".gradescope")
    for target in (args.out, junit):
        check_target(target, args.force)
    if gradescope.exists() and not args.force:
        raise InputError(f"{gradescope}: exists already; -f overwrites it")

    from minicodec.course import grade as g

    exercises = g.chosen(args.chapter, args.variant)
    everything = []
    found = g.submissions(args.paths)
    gradescope.mkdir(exist_ok=True)
    limits = {"seed": args.seed, "seconds": args.seconds, "memory": int(args.memory * 2**30)}
    with ThreadPoolExecutor(args.jobs) as pool:  # threads only wait: each has a process at work
        tasks = {name: pool.submit(lambda n, f: list(g.grade(n, f, exercises, **limits)), name, files)
                 for name, files in found.items()}  # fmt: skip
        for name, task in tasks.items():
            grades = task.result()
            everything += grades
            g.write_gradescope(grades, gradescope / f"{name}.json")
            faults = [f"{one.exercise} ({one.status})" for one in grades if one.status not in ("right", "missing")]
            total = f"{sum(one.points for one in grades)} of {sum(one.maximum for one in grades)}"
            print(f"{name}: {total}{'; ' + ', '.join(faults) if faults else ''}", flush=True)
    with write_atomically(args.out, args.force) as path:
        g.write_csv(everything, path)
    with write_atomically(junit, args.force) as path:
        g.write_junit(everything, path)
    return 0
