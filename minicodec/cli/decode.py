"""`minicodec decode`: .ecdc -> .wav or .flac, as long as what was encoded, at the model's sample rate."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli import corpus, places
from minicodec.cli.codecs import beside, check_digest, enough_memory, fetch_if_asked
from minicodec.cli.hearing import Notices
from minicodec.cli.options import MODELS, add_device, add_fetch, add_verbosity
from minicodec.cli.places import Job
from minicodec.cli.progress import watched
from minicodec.cli.text import count
from minicodec.codec.files.bitstream import (
    CODED_VERSION,
    FLOAT_CODED,
    JSON_LIMIT,
    PREFIX,
    Chunk,
    Header,
    check_size,
    first_sample,
    read_header,
    read_version,
)
from minicodec.codec.files.chunks import unpack_chunks
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.coded_file import CodedReader, predictor_of
from minicodec.codec.files.entropy.container import CodedHeader, read_header as read_coded_header
from minicodec.codec.foreign.released import RELEASED, in_cache
from minicodec.codec.language_model import LanguageModel
from minicodec.codec.model import PUBLISHED
from minicodec.codec.pretrained import BUNDLED
from minicodec.corpus.index import Record
from minicodec.corpus.run import Act
from minicodec.errors import InputError
from minicodec.files import check_target

SOUNDS = tuple(audio.WRITABLE)
KIND = places.Kind({".ecdc"}, ".ecdc files", writes=SOUNDS, marks=set(SOUNDS), ending="_decompressed")
EPILOG = f"""\
examples:
  minicodec decode speech.ecdc                    writes speech_decompressed.wav
  minicodec decode speech.ecdc again.flac
  minicodec decode packets/ sounds/               a folder, into another: see below
  minicodec decode - - < speech.ecdc > again.wav

{corpus.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.usage = "minicodec decode [options] IN.ecdc [IN.ecdc ...] [OUT.wav]"
    parser.add_argument("paths", metavar="IN.ecdc", nargs="+", help=".ecdc files, folders of them, or -")
    parser.add_argument("-o", "--output", metavar="OUT", help="16 bit .wav or .flac, a folder, or -")
    parser.add_argument(
        "-m",
        "--model",
        help=f"the model that encoded it: by default {BUNDLED}, or the fetched one that the file names; or {MODELS}",
    )
    add_fetch(parser)
    parser.add_argument(
        "--lm",
        metavar="FILE",
        help="the language model of an entropy-coded file, by default the one that belongs to MODEL",
    )
    parser.add_argument("--start", metavar="SECONDS", type=float, default=0.0, help="leave out what is before that")
    parser.add_argument(
        "--skip-damaged", action="store_true", help="play silence for damaged chunks of an entropy-coded file"
    )
    parser.add_argument("-r", "--rescale", action="store_true", help="make it quieter where it would clip")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT.wav")
    corpus.add_options(parser)
    add_verbosity(parser)
    add_device(parser)


class Models:
    """The codecs that the files of one command were encoded by, each loaded once."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.notices = args, Notices(args.quiet)
        self._loaded: dict[str, minicodec.Codec] = {}

    def name(self, header: Header) -> str:
        """What to load for a file: what -m says, or the fetched model that the file names, or the bundled one."""
        if self.args.model:
            return str(self.args.model)
        return header.model if header.model in RELEASED and (self.args.fetch or in_cache(header.model)) else BUNDLED

    def codec(self, header: Header, file: str) -> "minicodec.Codec":
        """The model of a file. InputError: it was encoded by another."""
        name = self.name(header)
        if name not in self._loaded:
            self._loaded[name] = minicodec.load(fetch_if_asked(name, self.args)).to(self.args.device)
        codec = self._loaded[name]
        if header.model not in codec.names:  # said before a size that only this model finds wrong
            which = f"{name} is {codec.name}" if self.args.model else "say with -m where to find it"
            if header.model in RELEASED and not self.args.model:
                which += f", or get it with: minicodec fetch {header.model}"
            raise InputError(f"{file}: was encoded by the model {header.model}; {which}")
        if header.model in PUBLISHED and codec.name != header.model:
            unknown = f"whether {name} has the published weights is not known"
            self.notices.warn(f"{file}: was encoded by the model {header.model}; {unknown}")
        return codec


def run(args: argparse.Namespace) -> int:
    """Check the files, decode them, write audio; a line on stderr says how much was clipped."""
    if folders := places.folders(args.paths, args.output, KIND):
        return decode_folder(args, folders)
    corpus.refuse_options(args)
    return places.for_each(places.jobs(args.paths, args.output, KIND), args.force, decode_file, lambda: Models(args))


def decode_folder(args: argparse.Namespace, folders: tuple[Path, Path]) -> int:
    """A corpus, by many processes. Without -m each file tells its model."""
    codec = minicodec.load(fetch_if_asked(args.model, args)) if args.model else None
    lm = minicodec.load_language_model(args.lm, codec or minicodec.load()).name if args.lm else None
    settings = {
        "command": "decode",
        "model": codec and codec.name,
        "digest": codec and codec.digest,
        "lm": lm,
        **{key: getattr(args, key) for key in ("start", "skip_damaged", "rescale", "device")},
    }
    there = argparse.Namespace(**vars(args) | {"quiet": True, "verbose": False, "force": True})
    there.model, there.lm = (name and corpus.everywhere(name) for name in (args.model, args.lm))
    arguments = there, codec and codec.digest
    made = corpus.Conversion(KIND.reads, KIND.what, KIND.name, settings, decoder, arguments)
    return corpus.convert(args, folders, made)


def decoder(args: argparse.Namespace, digest: str | None) -> Act:
    """In a process of its own: what decodes a file of a corpus."""
    models = Models(args)

    def act(source: Path, target: Path | None) -> Record:
        assert target
        notices: list[str] = []
        models.notices.collected = notices
        seconds, codec = decode_one(models, source, str(source), target)
        if digest:
            check_digest(codec, digest, args.model)
        return {"seconds": seconds, "notices": notices}

    return act


def decode_file(models: Models, job: Job) -> None:
    """One file, to a file or standard output."""
    args = models.args
    with places.opened(job.source) as (path, name), tempfile.TemporaryDirectory() as folder:
        target, began = Path(folder) / "stdout.wav" if job.piped else job.target, time.perf_counter()
        seconds, codec = decode_one(models, path, name, target)
        if job.piped:
            with open(target, "rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        if args.quiet:
            return
        about = f"{seconds:.2f} s, {codec.sample_rate} Hz, {count(codec.channels, 'channel')}"
        print(f"{job.target}: {about}", file=sys.stderr if job.piped else sys.stdout)
        if args.verbose:
            took = time.perf_counter() - began
            facts = f"{codec.name}, {took:.2f} s, {seconds / took:.1f} s of audio/s"
            print(f"minicodec: {name}: {facts}", file=sys.stderr)


def decode_one(models: Models, path: Path, name: str, target: Path) -> tuple[float, "minicodec.Codec"]:
    """The file `path`, which messages call `name`, to `target` -> its seconds, and its model."""
    header, coded, _ = read_start(path)
    if header.lm and coded is None:
        raise InputError(f"{name}: {FLOAT_CODED}")
    codec = models.codec(header, name)
    lm = language_model(models.name(header), models.args, coded, codec)
    return write_audio(path, name, target, codec, lm, models.args, models.notices), codec


def write_audio(
    path: Path,
    name: str,
    target: Path,
    codec: "minicodec.Codec",
    lm: LanguageModel | None,
    args: argparse.Namespace,
    notices: Notices,
) -> float:
    """Decode the file `path`, which messages call `name`, to `target` -> its seconds.

    args: device, force, start, rescale, skip_damaged, quiet, verbose, as `configure` explains them.
    """
    header, coded, start = read_start(path)
    layout, seconds = codec.config.layout, header.audio_length / codec.sample_rate
    first = first_sample(args.start, header, codec.sample_rate, name)
    with open(path, "rb") as file:
        if coded:
            predictor = predictor_of(coded, lm, codec.names, layout, name)
            reader = CodedReader(file, coded, start, layout, predictor, name)

            def report(line: str) -> None:
                notices.warn(f"{line}: silence instead")

            damaged = report if args.skip_damaged else suggest
            blocks = reader.blocks(codec.decode_blocks, codec.channels, first, damaged)
        else:
            check_size(header, path.stat().st_size - start, layout, name)
            file.seek(start)
            chunks = unpack_chunks(file, header, layout, name)
            blocks = trimmed(codec.decode_blocks(chunks), first, header.audio_length)
        length = header.audio_length - first
        check_target(target, args.force, 2 * codec.channels * length)
        codes = np.zeros((header.codebooks, layout.frames(codec.sample_rate)), np.int16)
        scale = 1.0 if codec.config.normalize else None
        blocks = enough_memory(
            blocks, args.device, name, codec, lambda n: codec.decode([Chunk(np.tile(codes, n), scale)])
        )
        blocks = finite(blocks, name)
        if not args.quiet:
            blocks = watched(blocks, codec.sample_rate, seconds - args.start, lines=args.verbose)
        with audio.writer(target, codec.channels, codec.sample_rate, frames=length, overwrite=args.force) as out:
            for block in rescaled(blocks, codec.channels) if args.rescale else blocks:
                out.write(block)
    if out.clipped:
        clipped = "1 sample was" if out.clipped == 1 else f"{out.clipped} samples were"
        notices.say(f"{target}: {clipped} clipped; -r would make it quieter")
    return length / codec.sample_rate


def read_start(path: Path) -> tuple[Header, CodedHeader | None, int]:
    """The header of an .ecdc file and the bytes it takes, without reading what follows, however large the file is.

    Of a file of version 1, all of its header: the index of its chunks is in it.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: is a folder or a device, not an .ecdc file")
    try:
        with open(path, "rb") as file:
            data = file.read(PREFIX.size + JSON_LIMIT)
            if read_version(data, str(path)) == CODED_VERSION:
                coded, start = read_coded_header(file, str(path))
                return coded.header, coded, start
            header, start = read_header(data, str(path))
            return header, None, start
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def language_model(
    model: str, args: argparse.Namespace, coded: CodedHeader | None, codec: "minicodec.Codec"
) -> LanguageModel | None:
    """The one that an entropy-coded file needs: that of the arguments, or else the one of the model."""
    if coded is None or coded.predictor == Adaptive.name:
        return None
    return minicodec.load_language_model(args.lm or beside(model, args), codec)


def suggest(line: str) -> None:
    """Refuse what is damaged."""
    raise InputError(f"{line}; --skip-damaged plays the rest")


def trimmed(blocks: Iterable[np.ndarray], first: int, length: int) -> Iterator[np.ndarray]:
    """Samples first … length - 1 of blocks (C,n): the last frame is whole, what was encoded need not be."""
    for block in blocks:
        yield block[:, first:length]
        first, length = max(0, first - block.shape[1]), max(0, length - block.shape[1])


def finite(blocks: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The same blocks. InputError: the weights or scales give what is no sound."""
    for block in blocks:
        if not np.isfinite(block).all():
            raise InputError(f"{name}: decodes to samples that are NaN or infinite")
        yield block


def rescaled(blocks: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
    """Blocks (C,n) divided by the peak of them all, if that is above 1. They wait for it in a temporary file."""
    peak = np.float32(1)
    with tempfile.TemporaryFile() as waiting:
        for block in blocks:
            peak = np.abs(block).max(initial=peak)
            waiting.write(block.T.astype(np.float32).tobytes())
        waiting.seek(0)
        while data := waiting.read(1 << 20):
            yield np.frombuffer(data, np.float32).reshape(-1, channels).T / peak
