"""`minicodec encode`: any audio file -> .ecdc, in constant memory; or to a codec and back, to hear what a rate does."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

import minicodec
from minicodec import audio
from minicodec.cli import corpus, decode, places
from minicodec.cli.codecs import beside, check_digest, enough_memory, fetch_if_asked, prepare_to_encode
from minicodec.cli.hearing import Heard, Notices, converted, info, messages_of
from minicodec.cli.options import MODELS, add_device, add_encoding, add_fetch, add_verbosity
from minicodec.cli.places import Job
from minicodec.cli.progress import watched
from minicodec.codec.files.bitstream import Header, pack_header
from minicodec.codec.files.chunks import pack_chunks
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.coded_file import CodedWriter, predictor_for
from minicodec.codec.language_model import RUN_LM, LanguageModel
from minicodec.codec.pretrained import BUNDLED
from minicodec.corpus.index import Record
from minicodec.corpus.run import Act
from minicodec.errors import InputError
from minicodec.files import write_atomically

KIND = places.Kind(audio.READABLE, "audio files", writes=(".ecdc", *audio.WRITABLE), marks={".ecdc"})
EPILOG = f"""\
examples:
  minicodec encode speech.wav                     writes speech.ecdc
  minicodec encode speech.wav small.ecdc -b 1.5
  minicodec encode *.flac music/ packets/         files and folders, into the folder packets
  minicodec encode corpus/ packets/ --jobs 8      a folder into a folder: see below
  minicodec encode speech.wav heard.wav -b 1.5    to the codec and back, to hear what is left
  ffmpeg -i talk.m4a -f wav - | minicodec encode - talk.ecdc

The last of several names is where to write if it is a folder, ends with / or .ecdc, or is one of two and not there
yet. What is no file name to you may be one to the shell: -o says it without a doubt.

{corpus.HELP}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.usage = "minicodec encode [options] IN [IN ...] [OUT]"
    parser.add_argument(
        "paths", metavar="IN", nargs="+", help="audio of any sample rate and number of channels, folders of it, or -"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help=".ecdc, .wav or .flac, a folder, or -")
    add_encoding(parser)
    parser.add_argument("-m", "--model", default=BUNDLED, help=f"{BUNDLED} by default; or {MODELS}")
    add_fetch(parser)
    parser.add_argument(
        "--lm",
        nargs="?",
        const="",
        metavar="FILE",
        help="entropy-code with a language model, by default the one that belongs to MODEL, or with --lm adaptive by "
        "counting, without a model; the file gets smaller, can be decoded from any chunk on, and has checksums",
    )
    parser.add_argument(
        "--no-mix", action="store_true", help="refuse more channels than the model has, which are else averaged"
    )
    parser.add_argument("-r", "--rescale", action="store_true", help="to .wav: make it quieter where it would clip")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite OUT")
    corpus.add_options(parser)
    add_verbosity(parser)
    add_device(parser)


def prepare(argv: Sequence[str]) -> list[str]:
    """The arguments, in which --lm takes the next one only if that is a language model, and never an input's name."""
    prepared = list(argv)
    for i, word in enumerate(argv):
        if word == "--lm":
            following = argv[i + 1] if i + 1 < len(argv) else ""
            taken = following == Adaptive.name or following.endswith((".safetensors", ".th"))
            if not taken and not (Path(following) / RUN_LM).is_file():
                prepared[i] = "--lm="
    return prepared


@dataclass
class Coder:
    """All that is the same for the files of one command."""

    args: argparse.Namespace
    codec: "minicodec.Codec"
    lm: LanguageModel | str | None
    notices: Notices


def run(args: argparse.Namespace) -> int:
    """Read, convert to the model's rate and channels, compress, write; print what it cost."""
    if folders := places.folders(args.paths, args.output, KIND):
        return encode_folder(args, folders)
    corpus.refuse_options(args)
    found = places.jobs(args.paths, args.output, KIND)
    return places.for_each(found, args.force, encode_file, lambda: load(args))


def load(args: argparse.Namespace) -> Coder:
    """The model, and the language model if one is asked for."""
    codec = minicodec.load(fetch_if_asked(args.model, args)).to(args.device)
    prepare_to_encode(args, codec)
    lm: LanguageModel | str | None = None
    if args.lm is not None:
        where = args.lm or beside(args.model, args)
        lm = Adaptive.name if where == Adaptive.name else minicodec.load_language_model(where, codec)
    return Coder(args, codec, lm, Notices(args.quiet))


def encode_folder(args: argparse.Namespace, folders: tuple[Path, Path]) -> int:
    """A corpus, by many processes."""
    coder = load(args)  # here too: for its name, and so that what cannot be loaded is told once
    settings = {
        "command": "encode",
        "model": coder.codec.name,
        "digest": coder.codec.digest,
        "kbps": args.bitrate,
        "beam": args.beam,
        "lm": coder.lm.name if isinstance(coder.lm, LanguageModel) else coder.lm,
        "device": args.device,
    }
    there = argparse.Namespace(**vars(args) | {"quiet": True, "verbose": False, "force": True})
    there.model = corpus.everywhere(args.model)
    there.lm = corpus.everywhere(args.lm) if args.lm and args.lm != Adaptive.name else args.lm
    arguments = there, coder.codec.digest
    made = corpus.Conversion(KIND.reads, KIND.what, KIND.name, settings, encoder, arguments)
    return corpus.convert(args, folders, made)


def encoder(args: argparse.Namespace, digest: str) -> Act:
    """In a process of its own: what encodes a file of a corpus."""
    coder = load(args)
    check_digest(coder.codec, digest, args.model)

    def act(source: Path, target: Path | None) -> Record:
        assert target
        notices: list[str] = []
        coder.notices.collected = notices
        cost, _ = encode_one(coder, Job(source, target))
        return {"seconds": cost.seconds, "notices": notices}

    return act


@dataclass
class Cost:
    """Of an encoded file: the seconds that it lasts, and its bytes."""

    seconds: float
    payload: int
    header: int

    def __str__(self) -> str:
        kbps = (self.header + self.payload) * 8 / 1000 / self.seconds
        return f"{self.seconds:.2f} s, {self.payload} + {self.header} bytes (payload, header), {kbps:.2f} kbit/s"


def encode_file(coder: Coder, job: Job) -> None:
    """One file, to .ecdc or back to audio; what it cost, and what is odd about it."""
    began = time.perf_counter()
    cost, name = encode_one(coder, job, tell_conversion=True)
    args, codec = coder.args, coder.codec
    if args.verbose:
        took = time.perf_counter() - began
        facts = f"{codec.name}, {args.bitrate:g} kbit/s; {took:.2f} s, {cost.seconds / took:.1f} s of audio/s"
        print(f"minicodec: {name}: {facts}", file=sys.stderr)
    if not args.quiet:
        print(f"{job.target}: {cost}", file=sys.stderr if job.piped else sys.stdout)


def encode_one(coder: Coder, job: Job, tell_conversion: bool = False) -> tuple[Cost, str]:
    """One file -> what it cost, and its name for messages. What is odd about it is told."""
    with places.opened(job.source) as (path, name):
        heard = Heard()
        with messages_of(path) as messages:
            about = info(path, name)
            cost = convert(coder, job, path, name, about, heard)
            flaw = audio.flaw(path, heard.frames)
        if tell_conversion:
            coder.notices.conversion(name, about, coder.codec)
        coder.notices.oddities(name, about, heard, flaw, messages)
    return cost, name


def convert(coder: Coder, job: Job, path: Path, name: str, about: audio.AudioInfo, heard: Heard) -> Cost:
    """Encode, and decode if that is asked for."""
    args, codec = coder.args, coder.codec
    if args.no_mix and about.channels > codec.channels:
        raise InputError(f"{name}: has {about.channels} channels; the model has {codec.channels}")
    # The header begins with the length, which for some formats is only known at the end: so the codes wait in a file.
    with tempfile.TemporaryFile() as payload:
        header, samples = compress(coder, path, name, about, heard, payload)
        size, seconds = payload.tell(), samples / codec.sample_rate
        payload.seek(0)
        if job.piped:
            write_to(sys.stdout.buffer, header, payload)
        elif job.target.suffix.lower() == ".ecdc":
            with write_atomically(job.target, args.force) as temporary, open(temporary, "wb") as file:
                write_to(file, header, payload)
        else:
            with tempfile.TemporaryDirectory() as folder:
                packet = Path(folder) / "packet.ecdc"
                with open(packet, "wb") as file:
                    write_to(file, header, payload)
                lm = None if isinstance(coder.lm, str) else coder.lm
                whole = argparse.Namespace(**vars(args), start=0.0, skip_damaged=False)
                decode.write_audio(packet, name, job.target, codec, lm, whole, coder.notices)
    return Cost(seconds, size, len(header))


def compress(
    coder: Coder, path: Path, name: str, about: audio.AudioInfo, heard: Heard, payload: BinaryIO
) -> tuple[bytes, int]:
    """Write all chunks of a file to `payload` -> the header, and the number of samples at the codec's rate."""
    args, codec = coder.args, coder.codec
    codebooks, samples = codec.config.levels(args.bitrate), 0
    writer = None
    if coder.lm is not None:
        writer = CodedWriter(predictor_for(coder.lm, codec.names, codec.config.layout, codebooks), codec.config.layout)

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        blocks = converted(path, about, codec, heard)
        for block in blocks if args.quiet else watched(blocks, codec.sample_rate, about.seconds, lines=args.verbose):
            samples += block.shape[1]
            yield block

    second = np.zeros((codec.channels, codec.sample_rate), np.float32)
    chunks = codec.encode_blocks(counted(), args.bitrate)
    chunks = enough_memory(chunks, args.device, name, codec, lambda n: codec.encode(np.tile(second, n), args.bitrate))
    for data in pack_chunks(chunks, codec.config.layout) if writer is None else writer.pack(chunks):
        payload.write(data)
    if samples == 0:
        theirs = f"{about.frames} samples at {about.sample_rate} Hz"
        raise InputError(f"{name}: {theirs} are not one at {codec.sample_rate} Hz")
    plain = pack_header(Header(codec.name, samples, codebooks))
    if writer is None:
        return plain, samples
    header = writer.header(codec.name, samples)
    without = len(plain) + codec.config.layout.payload_bytes(samples, codebooks)
    if coder.lm != Adaptive.name or len(header) + payload.tell() <= without:
        return header, samples
    coder.notices.say(f"{name}: counting would have made its file larger, so it is without")
    codes = list(writer.reread(payload, codec.name, samples))
    payload.seek(0)
    payload.truncate()
    payload.writelines(pack_chunks(codes, codec.config.layout))
    return plain, samples


def write_to(file: BinaryIO, header: bytes, payload: BinaryIO) -> None:
    """The bytes of an .ecdc file."""
    file.write(header)
    shutil.copyfileobj(payload, file)
