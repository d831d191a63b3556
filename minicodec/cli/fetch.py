"""`minicodec fetch`: download a published model, check it, and keep it in the user's cache."""

import argparse
import sys

from minicodec.cli.options import add_quiet
from minicodec.cli.progress import download
from minicodec.codec.fetch import fetch

EPILOG = """\
NAME is encodec_24khz, encodec_48khz, encodec_lm_24khz or encodec_lm_48khz: the models that the authors of EnCodec
published; or OWNER/NAME on Hugging Face, such as facebook/encodec_24khz: a folder of transformers. (minicodec models
lists them.) A broken download goes on where it stopped. Where this machine has no network, copy the files into the
cache by hand; MINICODEC_CACHE names another folder for it.

example:
  minicodec fetch encodec_24khz
  minicodec encode speech.wav -m encodec_24khz
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("name", metavar="NAME", nargs="+")
    add_quiet(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch one after the other; print where they are."""
    for name in args.name:
        with download(args.quiet) as report:
            print(fetch(name, report, say=lambda line: print(line, file=sys.stderr)))
    return 0
