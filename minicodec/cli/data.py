"""`minicodec data`: public datasets to train on."""

import argparse
from pathlib import Path

from minicodec.cli.text import table
from minicodec.errors import InputError
from minicodec.training.datasets import DATASETS, fetch


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    help_name = "a dataset to download; without one, a list of them with their licences"
    parser.add_argument("name", metavar="NAME", nargs="?", default="list", help=help_name)
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where to put it: FOLDER/NAME; needed with a NAME")


def run(args: argparse.Namespace) -> int:
    """List, or download and unpack one."""
    if args.name == "list":
        rows = [(name, dataset.about, dataset.licence) for name, dataset in DATASETS.items()]
        print("\n".join(table(("dataset", "what it is", "licence"), rows)))
        return 0
    if args.out is None:
        raise InputError(f"{args.name}: say with --out FOLDER where to put it")
    print(fetch(args.name, args.out))
    return 0
