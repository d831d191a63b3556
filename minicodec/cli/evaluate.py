"""`minicodec evaluate`: how good is it, and how good are Opus and MP3 with as many bytes?"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from minicodec.cli.decoder_messages import left_out
from minicodec.cli.options import add_cluster
from minicodec.console import one_line
from minicodec.errors import InputError

T = TypeVar("T")
METRICS = "si_sdr, mel_distance, stft_distance, log_spectral_distance, stoi, pesq, visqol"
EVERY = 10.0  # seconds between plain lines
EXAMPLES = """\
examples:
  minicodec evaluate runs/speech --data corpora/speech --out evaluation
  minicodec evaluate runs/a runs/b --data test-clips --files all --kbps 1.5 6 --metrics si_sdr visqol --out a-and-b

OUT gets results.csv (every figure), results.md and table.csv (means and 95 % intervals), levels.csv (how loud each
octave comes back), pictures of the curves, all the sounds, and report.html: one page with everything, to read and to
listen to, which needs no other file.
An interrupted evaluation goes on with the same command.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("models", metavar="MODEL", nargs="+", help="minicodec-24k, a run's folder, a .safetensors file")
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="audio; subfolders are categories")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder, or one to go on with")
    parser.add_argument(
        "--files",
        choices=("valid", "all"),
        default="valid",
        help="valid: those that a training on FOLDER keeps for validation (default); all: if it has not seen any",
    )
    parser.add_argument("--kbps", type=float, nargs="+", default=[1.5, 3.0, 6.0, 12.0], help="default: 1.5 3 6 12")
    parser.add_argument(
        "--baselines", nargs="*", default=["opus", "mp3"], help="opus, mp3; default: both; none after it: without"
    )
    parser.add_argument("--metrics", nargs="+", metavar="METRIC", help=f"{METRICS}; default: all that are installed")
    parser.add_argument("--seconds", type=float, default=10.0, help="of longer files, the middle: 10 s by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes; default: as many as cores")
    add_cluster(parser)


@left_out()
def run(args: argparse.Namespace) -> int:
    """Evaluate, print the tables and write everything."""
    from rich.console import Console

    import minicodec
    from minicodec.evaluation import evaluate, levels, plots, report, scores, statistics, tables
    from minicodec.evaluation.baselines import BASELINES
    from minicodec.evaluation.settings import SHORTEST, open_folder, settings_for
    from minicodec.training.data import AudioFolder

    names = args.metrics or scores.installed()
    for given, known, what in ((names, scores.METRICS, "metric"), (args.baselines, BASELINES, "baseline")):
        for name in given:
            if name not in known:
                raise InputError(f"{name}: no such {what}; there are {', '.join(known)}")
    for name in names:
        if name not in scores.installed():
            raise InputError(f"{name}: needs the package {scores.METRICS[name].package}, which is not installed")
    if args.jobs < 1 or not SHORTEST <= args.seconds < float("inf") or min(args.kbps) <= 0:
        raise InputError(f"--jobs from 1, --seconds from {SHORTEST} and --kbps above 0 make sense")
    codecs = [minicodec.load(path) for path in args.models]
    data = AudioFolder(args.data, sample_rate=codecs[0].sample_rate, channels=codecs[0].channels, report=_say)
    files = data.valid if args.files == "valid" else sorted({*data.train, *data.valid}, key=lambda file: file.name)
    settings = settings_for(
        args.models,
        files,
        kbps=sorted(set(args.kbps)),
        baselines=list(dict.fromkeys(args.baselines)),
        metrics=list(dict.fromkeys(names)),
        seconds=args.seconds,
        codecs=codecs,
    )
    tried, settings = len(settings.clips), evaluate.readable(settings, _say)
    open_folder(args.out, settings)
    if args.files == "valid":
        _say(f"{len(files)} of {len({*data.train, *data.valid})} files: those kept for validation (see --files)")
    if short := len(files) - tried:
        _say(f"{short} files of less than {SHORTEST} s are left out")
    if long := sum(file.seconds > args.seconds for file in files):
        _say(f"{long} files are longer than {args.seconds:g} s: the middle of each is taken")
    for condition in settings.conditions:
        if condition.reason:
            _say(f"{condition.system} at {condition.kbps:g} kbit/s is left out: it {condition.reason}")
    if todo := evaluate.remaining(args.out, settings):
        for _ in _counted(evaluate.run(args.out, settings, todo, args.jobs, args.cluster), len(todo)):
            pass
    rows = evaluate.read_rows(args.out, settings)
    lines = statistics.summarise(rows, settings.conditions, settings.metrics)
    tables.write_results(rows, args.out / "results.csv")
    tables.write_table(lines, args.out / "table.csv")
    loud = statistics.summarise(rows, settings.conditions, levels.names(settings.sample_rate))
    tables.write_table(loud, args.out / "levels.csv")
    plots.levels(loud, args.out / "levels.png")
    tables.write_markdown(lines, settings, args.out / "results.md")
    for name in settings.metrics:
        plots.curves(lines, name, args.out / f"{name}.png")
    report.write(args.out, settings, rows, lines, loud)
    tables.show(lines, settings, Console(width=None if Console().is_terminal else 200))
    print(f"{args.out / 'report.html'}: all of it, to read and to listen to")
    return 0


def _say(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def _counted(clips: Iterable[T], total: int) -> Iterator[T]:
    """The clips, shown as they are done: a bar on a terminal, a plain line now and then elsewhere; both on stderr."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(clips, "clips", total, console=Console(stderr=True), transient=True)
        return
    began = printed = time.perf_counter()
    for done, clip in enumerate(clips, start=1):
        now = time.perf_counter()
        if now - printed >= EVERY:
            printed = now
            _say(f"{done} of {total} clips, {(now - began) / done * (total - done):.0f} s left")
        yield clip
