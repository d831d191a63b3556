"""`minicodec codes`: a folder of audio -> a folder of tokens, for models that read and write codes."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli import corpus
from minicodec.cli.codecs import check_digest, enough_memory, fetch_if_asked, prepare_to_encode
from minicodec.cli.hearing import Heard, Notices, converted, info, messages_of
from minicodec.cli.options import MODELS, add_device, add_encoding, add_fetch, add_verbosity
from minicodec.codec.pretrained import BUNDLED
from minicodec.corpus import shards
from minicodec.corpus.dataset import FORMATS
from minicodec.corpus.index import Record
from minicodec.corpus.run import Act
from minicodec.errors import InputError

EPILOG = f"""\
examples:
  minicodec codes corpus/ tokens/ -b 3
  minicodec codes corpus/ tokens/ --format webdataset --shard-hours 10
  minicodec codes corpus/ tokens/ -m encodec_24khz --cluster tcp://head:8786

  import minicodec
  for tokens in minicodec.dataset("tokens"):
      tokens.codes, tokens.file, tokens.seconds     # codes: (frames,levels) int16

npy          OUT mirrors the folder: a .npy file for each audio file
webdataset   OUT/shard-000000.tar …, as the webdataset package reads them: pairs of .npy and .json, which tells file,
             seconds, sample rate, frame rate, kbit/s, and the model's name and digest
parquet      OUT/shard-000000.parquet …: columns file, seconds, samples, codes (frames x levels), scales; the rest is
             in the metadata of the schema (needs pyarrow: the extra cluster)

{corpus.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="audio of any sample rate and number of channels")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder, or one to go on with")
    parser.add_argument("--format", choices=FORMATS, default="npy", help="of the files in OUT: npy by default")
    parser.add_argument(
        "--shard-hours", metavar="H", type=float, default=1.0, help="of audio in a shard, about: 1 by default"
    )
    add_encoding(parser)
    parser.add_argument("-m", "--model", default=BUNDLED, help=f"{BUNDLED} by default; or {MODELS}")
    add_fetch(parser)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what is in OUT")
    corpus.add_options(parser)
    add_verbosity(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Encode all files; print how many."""
    if not args.folder.is_dir():
        raise InputError(f"{args.folder}: there is no such folder")
    if not 0 < args.shard_hours < float("inf"):
        raise InputError("--shard-hours: above 0 makes sense")
    shards.check_installed(args.format)
    codec = load(args)
    settings = {
        "command": "codes",
        "format": args.format,
        "sample_rate": codec.sample_rate,
        "frame_rate": float(codec.frame_rate),
        "kbps": args.bitrate,
        "beam": args.beam,
        "levels": codec.config.levels(args.bitrate),
        "model": codec.name,
        "digest": codec.digest,
        "device": args.device,
    }
    there = argparse.Namespace(**vars(args) | {"quiet": True, "model": corpus.everywhere(args.model)})
    made = corpus.Conversion(
        audio.READABLE,
        "audio files",
        lambda name: name.with_suffix(".npy"),
        settings,
        tokenizer,
        (there, codec.digest),
        None if args.format == "npy" else 3600 * args.shard_hours,
    )
    return corpus.convert(args, (args.folder, args.out), made)


def load(args: argparse.Namespace) -> "minicodec.Codec":
    """The model."""
    codec = minicodec.load(fetch_if_asked(args.model, args)).to(args.device)
    prepare_to_encode(args, codec)
    return codec


def tokenizer(args: argparse.Namespace, digest: str) -> Act:
    """In a process of its own: what makes the codes of a file."""
    codec = load(args)
    check_digest(codec, digest, args.model)
    notices = Notices(args.quiet)
    second = np.zeros((codec.channels, codec.sample_rate), np.float32)

    def act(source: Path, target: Path | None) -> Record:
        lines: list[str] = []
        notices.collected = lines
        name, heard, samples = str(source), Heard(), 0
        with messages_of(source) as messages:
            about = info(source, name)

            def counted() -> Iterator[np.ndarray]:
                nonlocal samples
                for block in converted(source, about, codec, heard):
                    samples += block.shape[1]
                    yield block

            chunks = codec.encode_blocks(counted(), args.bitrate)
            pieces = list(
                enough_memory(
                    chunks, args.device, name, codec, lambda n: codec.encode(np.tile(second, n), args.bitrate)
                )
            )
            flaw = audio.flaw(source, heard.frames)
        if samples == 0:
            theirs = f"{about.frames} samples at {about.sample_rate} Hz"
            raise InputError(f"{name}: {theirs} are not one at {codec.sample_rate} Hz")
        notices.oddities(name, about, heard, flaw, messages)
        codes = np.concatenate([piece.codes for piece in pieces], axis=1).T
        facts = {"seconds": samples / codec.sample_rate, "samples": samples, "notices": lines}
        if codec.config.normalize:
            facts["scales"] = [piece.scale for piece in pieces]
        if target is None:
            return facts | {"codes": codes}
        shards.write_npy(target, codes)
        return facts

    return act
