"""`minicodec data`: public datasets to train on."""

import argparse
from pathlib import Path

from minicodec.errors import InputError
from minicodec.training.datasets import DATASETS, fetch


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help='a dataset, or "list" for a list of them with their licences')
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="where to put it: FOLDER/NAME")


def run(args: argparse.Namespace) -> int:
    """List, or download and unpack one."""
    if args.name == "list":
        for name, dataset in DATASETS.items():
            print(f"{name:<28} {dataset.about}; {dataset.licence}")
        return 0
    if args.out is None:
        raise InputError(f"{args.name}: say with --out FOLDER where to put it")
    print(fetch(args.name, args.out))
    return 0
