"""`minicodec prove`: tests, kernels, speed and a training on a device, into one folder. For the first with a GPU."""

import argparse
import sys
from pathlib import Path

from minicodec.evaluation.proof import NAMES

EXAMPLES = """\
examples:
  minicodec prove --device gpu --data corpora/speech --out proof --minutes 30
  minicodec prove --device gpu --data corpora/speech --out longer --only training --minutes 300 --set batch=64
  minicodec prove --data data --out rehearsal --quick --minutes 1

The steps are tests (a checkout of minicodec, with pytest), sanitizer (compute-sanitizer, which comes with CUDA),
graphs (a step kernel by kernel and as a CUDA graph), bench (beside PyTorch, where that is installed) and training
(mini_24khz with its adversary on --data, for so many minutes).
One that fails does not stop the next. OUT/summary.md says what came of each; look at it while they run.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu")
    parser.add_argument("--data", metavar="FOLDER", type=Path, required=True, help="audio files to train on")
    parser.add_argument("--out", metavar="OUT", type=Path, required=True, help="a new folder for everything")
    parser.add_argument("--minutes", metavar="N", type=float, default=20, help="of training (default: 20)")
    parser.add_argument("--only", metavar="STEP", nargs="+", choices=NAMES, default=NAMES, help=", ".join(NAMES))
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", default=[], help="change the training, as in train")
    parser.add_argument("--quick", action="store_true", help="a rehearsal: less of everything")


def run(args: argparse.Namespace) -> int:
    """0 if nothing failed, else 1."""
    from minicodec.device import module
    from minicodec.evaluation import proof

    module(args.device)  # InputError: there is no such GPU here
    names = tuple(name for name in NAMES if name in args.only)
    plan = proof.Plan(
        args.device, args.data.resolve(), args.out.resolve(), args.minutes, args.quick, tuple(args.set), names
    )
    proof.check(plan)
    outcomes = proof.show(plan, lambda line: print(line, file=sys.stderr, flush=True))
    failed = [outcome.name for outcome in outcomes if outcome.good is False]
    print(f"{plan.out / 'summary.md'}: {'FAILED: ' + ', '.join(failed) if failed else 'nothing failed'}")
    return 1 if failed else 0
