"""`minicodec grade`: points for the exercises in many students' notebooks."""

import argparse
import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import check_target, write_atomically

EPILOG = """\
A folder's subfolders are one submission each, as are the notebooks and .py files that lie in it. Of each file only
what the answers need is run, then every exercise is called with sizes and numbers drawn from --seed. Beside FILE.csv
come FILE.xml (JUnit) and FILE.gradescope/NAME.json.

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
    parser.add_argument("--memory", type=float, default=4, help="GiB that each process may take (default: 4)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="students at a time (default: all cores)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite the files")


def run(args: argparse.Namespace) -> int:
    """Grade, write, and print a line for each student."""
    if os.name != "posix":
        raise InputError("grading needs Linux or macOS: elsewhere the processes of students cannot be limited")
    if args.out.suffix != ".csv":
        raise InputError(f"{args.out}: must end in .csv")
    if not (0 < args.seconds <= 86400 and 0 < args.memory <= 4096):
        raise InputError("--seconds must lie between 0 and 86400, --memory between 0 and 4096")
    if args.seed < 0 or args.jobs < 1:
        raise InputError("--seed must not be negative, --jobs at least 1")
    junit, gradescope = args.out.with_suffix(".xml"), args.out.with_suffix(".gradescope")
    for target in (args.out, junit):
        check_target(target, args.force)
    if gradescope.exists() and not args.force:
        raise InputError(f"{gradescope}: exists already; -f overwrites it")

    from minicodec.course import collect, grade as g, report
    from minicodec.course.judge import trials_of

    exercises = g.chosen(args.chapter, args.variant)
    found, others = collect.submissions(args.paths, leave_out=[args.out, junit, gradescope])
    for path in others:
        print(f"{path}: not graded: neither a notebook, nor a .py file, nor a folder".encode(
            "utf-8", "backslashreplace").decode(), file=sys.stderr)  # fmt: skip
    try:
        gradescope.mkdir(exist_ok=True)
        for old in gradescope.glob("*.json"):  # nobody's grades of another day may lie among today's
            old.unlink()
    except OSError as error:
        raise InputError(f"{gradescope}: cannot be written ({error.strerror})") from None
    trials = {one.name: trials_of(one, args.seed, fresh=True) for one in exercises}
    limits = g.Limits(args.seed, args.seconds, math.ceil(args.memory * 2**30))
    files = report.file_names([one.name for one in found])
    everything = []
    with ThreadPoolExecutor(args.jobs) as pool:  # threads only wait: each has a process at work
        tasks = [pool.submit(g.grade, one, exercises, trials, limits) for one in found]
        for task in tasks:
            grades = task.result()
            everything += grades
            name = grades[0].submission
            with write_atomically(gradescope / f"{files[name]}.json", args.force) as path:
                report.write_gradescope(grades, path)
            faults = [f"{one.exercise} ({one.status})" for one in grades if one.status not in ("right", "missing")]
            total = f"{sum(one.points for one in grades)} of {sum(one.maximum for one in grades)}"
            print(f"{name}: {total}{'; ' + ', '.join(faults) if faults else ''}", flush=True)
    with write_atomically(args.out, args.force) as path:
        report.write_csv(everything, path)
    with write_atomically(junit, args.force) as path:
        report.write_junit(everything, path)
    return 0
