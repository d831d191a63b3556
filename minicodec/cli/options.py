"""Options that several commands have."""

import argparse


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device cpu|gpu, as `minicodec.device` knows them."""
    text = "gpu: an NVIDIA GPU, by way of CuPy: the extra cuda12 or cuda13 of the package"
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help=text)
