"""`minicodec train-lm`: a codec and a folder of audio -> a language model of the codec's codes."""

import argparse
import sys
from pathlib import Path

from minicodec.cli.decoder_messages import left_out
from minicodec.cli.options import add_device
from minicodec.console import one_line
from minicodec.errors import InputError

EXAMPLES = """\
A language model predicts a frame's codes from those before it; `encode --lm` spends the fewer bits on codes the better
they are predicted. It fits one codec, and the kind of sounds in FOLDER: the folder that the codec was trained on will
do. One file in ten is held out; the best weights on those are kept.

examples:
  minicodec train mini_24khz --data ~/music --out runs/music
  minicodec train-lm runs/music --data ~/music                      writes runs/music/lm.safetensors
  minicodec train-lm runs/music --data ~/music --out runs/larger --steps 5000 --set model.D=256 model.layers=4
  minicodec train-lm --resume runs/larger

--set reaches every number of the recipe (steps, batch, seconds, lr, warmup_steps, weight_decay, clip, ...) and the
model's sizes (model.D, model.layers, model.heads, model.hidden, model.context); lm/run.json in the folder lists them
all. First, the audio is encoded; the codes are kept in lm/codes. While it trains, look at lm/curves.png. Ctrl-C saves;
so do checkpoints on the way, and a resumed run ends in the same bits as one that was never stopped.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="a codec: a training run's folder, a file")
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="wav, flac, ogg, mp3 ... in it and below")
    parser.add_argument("--out", metavar="RUN", type=Path, help="a folder for what comes of it; by default MODEL's own")
    parser.add_argument("--resume", metavar="RUN", type=Path, help="go on with a training that was stopped, or killed")
    parser.add_argument("--steps", metavar="N", type=int, help="end after N updates in all")
    parser.add_argument("--set", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="change an option")
    add_device(parser)


@left_out()
def run(args: argparse.Namespace) -> int:
    """Start or resume; 130 after Ctrl-C."""
    from minicodec.cli.progress import watched
    from minicodec.codec.language_model import RUN_LM
    from minicodec.training.language_model import run as runs
    from minicodec.training.loop import interruptible
    from minicodec.training.process_memory import keep_freed_memory

    if args.resume:
        if args.model or args.data or args.out or args.set:
            raise InputError("--resume takes a training as it is: besides --steps, nothing can change")
        training = runs.resume(args.resume, args.steps, args.device)
    else:
        if not (args.model and args.data):
            raise InputError("train-lm needs a MODEL and --data FOLDER, or else --resume RUN")
        settings = args.set if args.steps is None else [*args.set, f"steps={args.steps}"]
        training = runs.start(args.model, args.data, args.out, settings, args.device)
    for notice in training.data.notices:
        print(one_line(notice), file=sys.stderr)
    told = len(training.data.notices)
    training.prepare(watched)
    for notice in training.data.notices[told:]:
        print(one_line(notice), file=sys.stderr)
    keep_freed_memory()
    with interruptible() as stop:
        finished = training.train(stop)
    folder, step = training.folder, training.trainer.step
    if not finished:
        print(f"stopped at step {step}, saved; go on with: minicodec train-lm --resume {folder}", file=sys.stderr)
        return 130
    print(f"step {step} reached; the best weights are in {folder / RUN_LM}")
    return 0
