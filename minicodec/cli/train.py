"""`minicodec train`: a folder of audio -> a codec, in a folder of its own."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minicodec.cli.decoder_messages import left_out
from minicodec.cli.options import add_device
from minicodec.codec.config import PRESETS
from minicodec.console import one_line
from minicodec.errors import InputError

if TYPE_CHECKING:
    from minicodec.ranks import Ranks
    from minicodec.training.run import Run

EXAMPLES = """\
examples:
  minicodec train tiny_24khz --data data --out runs/first
  minicodec train mini_24khz --data ~/music --out runs/music --set batch=16 loss.mel=2
  minicodec train --resume runs/music
  minicodec train --resume runs/music --steps 200000
  minicodec train mini_24khz --data ~/music --out runs/sharper --from runs/music --set adversary.start=0
  mpiexec -n 4 minicodec train encodec_24khz --data ~/music --out runs/large   needs the extra mpi
  minicodec train my.toml --data ~/music --out runs/mine   a preset of your own: a file like minicodec/codec/presets/*

--set reaches every number of the recipe (steps, batch, seconds, lr, ema, warmup_steps, loss.l1, ...) and of the model
(seanet.filters, quantizer.levels, ...); RUN/run.json lists them all. --from begins a new run, with a recipe of its
own for the same model, at another run's newest checkpoint; or with the weights of a model whose run is lost. A good
end is cooldown=0.2, learning rates that fall in the last fifth of the steps: --from RUN --set steps=... cooldown=0.2
gives one to any run. While it runs, look at RUN/curves.png and listen to RUN/samples. Ctrl-C saves; so do checkpoints
on the way, and a resumed run ends in the same bits as one that was never stopped. Use the result with: minicodec
encode IN OUT.ecdc -m RUN

Under mpiexec, on one machine or many, each process ("rank") trains on its part of every batch, with --device gpu on a
GPU of its own. `batch` is that of all together, so N ranks make the steps that one would, faster. All of them read the
same --data and RUN, from a disk that the machines share. A run goes on with any number of ranks.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("preset", metavar="PRESET", nargs="?", help=f"{', '.join(PRESETS)}, or your own FILE.toml")
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="wav, flac, ogg, mp3 ... in it and below")
    parser.add_argument("--out", metavar="RUN", type=Path, help="a new folder for everything that comes of it")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a run that was stopped, or killed")
    help_from = "start where another run ended, or with a model"
    parser.add_argument("--from", metavar="RUN", type=Path, dest="origin", help=help_from)
    parser.add_argument("--steps", metavar="N", type=int, help="end after N updates in all")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change an option")
    add_device(parser)


@left_out()
def run(args: argparse.Namespace) -> int:
    """Start or resume; 130 after Ctrl-C."""
    from minicodec.training import mpi
    from minicodec.training.loop import interruptible
    from minicodec.training.process_memory import keep_freed_memory, peak_memory

    ranks = mpi.ranks()
    with mpi.one_fate(ranks):
        mpi.settle(ranks, args.device)
        training = start(args, ranks)
        for notice in training.data.notices if ranks.rank == 0 else ():
            print(one_line(notice), file=sys.stderr)
        keep_freed_memory()
        with interruptible() as stop, mpi.with_last_words(ranks, training.folder):
            finished = training.train(stop)
    folder, step, status = training.folder, training.trainer.step, 0 if finished else 130
    if ranks.rank > 0:
        return status
    if memory := peak_memory():
        print(f"memory at its peak: {memory / 2**20:.0f} MiB", file=sys.stderr)
    quantizer = training.trainer.codec.quantizer
    if not finished:
        print(f"stopped at step {step}, saved; go on with: minicodec train --resume {folder}", file=sys.stderr)
    elif quantizer.ready < quantizer.levels:
        print(f"step {step} reached, but the quantizer needs more: minicodec train --resume {folder} --steps N")
    else:
        print(f"step {step} reached; use it with: minicodec encode IN OUT.ecdc -m {folder}")
    return status


def start(args: argparse.Namespace, ranks: "Ranks") -> "Run":
    """The run that was asked for, a new one or one to resume."""
    from minicodec.training import config, run as runs

    if args.resume:
        if args.preset or args.data or args.out or args.origin or args.set:
            raise InputError("--resume takes a run as it is: besides --steps, nothing can change (see --from)")
        return runs.resume(args.resume, args.steps, args.device, ranks=ranks)
    if not (args.preset and args.data and args.out):
        raise InputError("train needs a PRESET, --data FOLDER and --out RUN, or else --resume RUN")
    settings = args.set if args.steps is None else [*args.set, f"steps={args.steps}"]
    # Absolute, so that the run can be resumed from any folder.
    recipe = config.from_preset(args.preset, str(args.data.resolve()), settings)
    return runs.start(args.out, recipe, args.origin, args.device, ranks=ranks)
