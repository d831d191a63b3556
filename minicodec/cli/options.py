"""Options that several commands have."""

import argparse

MODELS = (
    "a training run's folder, a .safetensors file, EnCodec's .th file, a folder of transformers, or a model that was "
    "fetched, such as encodec_24khz"
)


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device cpu|gpu, as `minicodec.device` knows them."""
    text = "gpu: an NVIDIA GPU, by way of CuPy: the extra cuda12 or cuda13 of the package"
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help=text)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """-q."""
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but what went wrong")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """-q and -v."""
    add_quiet(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="also name the model, and how long it took")


def add_encoding(parser: argparse.ArgumentParser, of: str = "") -> None:
    """-b and --beam: how to encode; of: which of the command's tasks they belong to."""
    parser.add_argument("-b", "--bitrate", metavar="KBPS", type=float, default=6.0, help=of + "6 kbit/s by default")
    parser.add_argument(
        "--beam",
        metavar="N",
        type=int,
        help=of + "how many choices of codewords are followed at once; the more, the better the sound at the same "
        "bitrate, and the slower; by default as many as the model was made with",
    )


def add_fetch(parser: argparse.ArgumentParser) -> None:
    """--fetch."""
    parser.add_argument(
        "--fetch", action="store_true", help="download the model if it is a published one that is not on this machine"
    )


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """--cluster."""
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="work on a Dask cluster instead: its scheduler's address, such as tcp://head:8786 (extra cluster); "
        "workers read and write the files themselves, so folders and models have the same paths on all machines",
    )
