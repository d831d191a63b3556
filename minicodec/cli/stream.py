"""`minicodec stream`: live audio from stdin to stdout, each frame as soon as it is complete.

Raw PCM goes in and comes out: 16 bit signed little-endian samples at the model's rate, mono, or left and right in turn.
What goes in may also be a WAV file of such samples. The codes between the two commands are

    a line of JSON      {"m": model name, "nc": codebooks}
    for every frame     its codes, first codebook first, packed as in an .ecdc file, zeros up to a whole byte

Latency: a frame (13.3 ms at 24 kHz) must be complete before it can be encoded; then comes the computing. Models that
begin as a transform codec, such as minicodec-24k, wait for one frame more, since its windows overlap. At the end the
last frame is filled up, so the output can be up to a frame longer than the input.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

import minicodec
from minicodec import wav_header
from minicodec.cli.codecs import prepare_to_encode
from minicodec.cli.options import MODELS, add_encoding
from minicodec.cli.places import standard_input
from minicodec.cli.text import count
from minicodec.codec.files.bitstream import pack_bits, unpack_bits
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError

EXAMPLE = """\
example (mono speech at 24 kHz, from a file, through the codec, into a file):
  minicodec stream encode < in.raw | minicodec stream decode > out.raw
"""
LINE_LIMIT = 1000  # bytes of the line that comes first; real ones have about 50
READ = 1 << 14  # bytes at most at a time; whatever has arrived is taken at once
SAMPLE = np.dtype("<i2")
FILES = {  # how files begin that somebody may take for samples, and what they are
    b"RIFF": "WAV", b"RF64": "an RF64", b"riff": "a W64", b"FORM": "an AIFF", b".snd": "an AU", b"caff": "a CAF",
    b"fLaC": "a FLAC", b"OggS": "an Ogg", b"ID3\x03": "an MP3", b"ID3\x04": "an MP3", b"ECDC": "an .ecdc",
}  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (__doc__ or "").split("\n", 2)[2]
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("direction", choices=("encode", "decode"), help="PCM to codes, or codes to PCM")
    parser.add_argument("-m", "--model", default=BUNDLED, help=f"{BUNDLED} by default; or {MODELS}")
    add_encoding(parser, "of encode: ")
    parser.add_argument(
        "--zero-padding",
        action="store_true",
        help="for models padded by reflection, as the published ones: do not wait for the first 80 ms",
    )


def run(args: argparse.Namespace) -> int:
    """Until stdin ends."""
    codec = minicodec.load(args.model)
    if not codec.streams:
        raise InputError(f"{args.model}: {codec.config.name} codes whole chunks, it cannot stream")
    pad_mode = "zero" if args.zero_padding else None
    source, target = standard_input(), sys.stdout.buffer
    if args.direction == "encode":
        prepare_to_encode(args, codec)
        first = json.dumps({"m": codec.name, "nc": codec.config.levels(args.bitrate)}).encode() + b"\n"
        parts = encoded(source, codec, args.bitrate, pad_mode)
    else:
        first = b""
        parts = decoded(source, codec, pad_mode)
    target.write(first)
    target.flush()
    for part in parts:
        target.write(part)
        target.flush()
    return 0


def encoded(source: BinaryIO, codec: "minicodec.Codec", kbps: float, pad_mode: str | None) -> Iterator[bytes]:
    """PCM -> the bytes of frames, as they are complete."""
    encoder = codec.stream_encoder(kbps, pad_mode)
    for data in whole_units(samples_of(source, codec), SAMPLE.itemsize * codec.channels, "sample"):
        pcm = np.frombuffer(data, SAMPLE).reshape(-1, codec.channels)
        yield packed_frames(encoder.push(pcm.T.astype(np.float32) / 32768), codec.config.bits)
    yield packed_frames(encoder.flush(), codec.config.bits)


def decoded(source: BinaryIO, codec: "minicodec.Codec", pad_mode: str | None) -> Iterator[bytes]:
    """The bytes of frames -> PCM; a line on stderr at the end says how much was clipped."""
    codebooks = read_first_line(source, codec)
    decoder, clipped = codec.stream_decoder(pad_mode), 0

    def pcm(wav: np.ndarray) -> bytes:
        nonlocal clipped
        clipped += int(np.count_nonzero(np.abs(wav) > 1))
        return np.clip(np.rint(wav.T * 32768), -32768, 32767).astype(SAMPLE).tobytes()

    size = -(-codebooks * codec.config.bits // 8)
    for data in whole_units(arriving(source), size, "frame"):
        frames = np.frombuffer(data, np.uint8).reshape(-1, size)
        codes = [unpack_bits(frame, codec.config.bits, codebooks) for frame in frames]
        if codes:
            yield pcm(decoder.push(np.stack(codes, axis=1)))
    yield pcm(decoder.flush())
    if clipped:
        print(f"minicodec: {clipped} samples were clipped", file=sys.stderr)


def packed_frames(codes: np.ndarray, bits: int) -> bytes:
    """Codes (Q,frames) -> their bytes, each frame filled up with zeros."""
    return b"".join(pack_bits(frame, bits) for frame in codes.T)


def read_first_line(source: BinaryIO, codec: "minicodec.Codec") -> int:
    """How many codebooks follow. InputError: no such line, or another model's."""
    line = source.readline(LINE_LIMIT)
    try:
        fields = json.loads(line)
        model, codebooks = fields["m"], fields["nc"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError("stdin: does not begin as minicodec stream encode does") from None
    if model not in codec.names:
        raise InputError(f"stdin: was encoded by the model {model}; this one is {codec.name}")
    if type(codebooks) is not int or not 1 <= codebooks <= codec.config.quantizer.levels:
        raise InputError(f"stdin: claims {codebooks} codebooks; the model has {codec.config.quantizer.levels}")
    return codebooks


def samples_of(source: BinaryIO, codec: "minicodec.Codec") -> Iterator[bytes]:
    """PCM as it arrives, without the header that a WAV file has before it.

    InputError: the file has other samples than the model takes, or is of another kind; coded as sound it would be
    noise. (Sound may begin with such bytes by chance, once in half a billion times.)
    """
    start = source.read(4)
    kind = next((name for mark, name in FILES.items() if start.startswith(mark)), None)
    if kind == "WAV":
        try:
            about = wav_header.read_stream(source)
        except ValueError as error:
            raise InputError(f"stdin: is a WAV file that cannot be read ({error})") from None
        ours = (wav_header.PCM, 16, codec.channels, codec.sample_rate)
        if (about.kind, about.bits, about.channels, about.sample_rate) != ours:
            theirs = f"{about.bits} bit, {count(about.channels, 'channel')}, {about.sample_rate} Hz"
            wanted = f"16 bit PCM, {count(codec.channels, 'channel')}, {codec.sample_rate} Hz"
            raise InputError(f"stdin: is a WAV file of {theirs}; the model takes {wanted}; or encode it: encode - OUT")
        left = sys.maxsize if not 0 < about.promised < wav_header.UNKNOWN else about.promised
        for data in arriving(source):
            yield data[:left]
            left -= min(left, len(data))  # other chunks may follow, which are read and forgotten
        return
    if kind:
        raise InputError(f"stdin: is {kind} file, and stream takes samples; encode it: minicodec encode - OUT.ecdc")
    yield start
    yield from arriving(source)


def arriving(source: BinaryIO) -> Iterator[bytes]:
    """What has arrived, as soon as it has."""
    while data := source.read1(READ):  # type: ignore[attr-defined]
        yield data


def whole_units(pieces: Iterable[bytes], size: int, unit: str) -> Iterator[bytes]:
    """What has arrived, in whole units of `size` bytes. InputError: the input ends within a unit."""
    rest = b""
    for data in pieces:
        rest += data
        whole = len(rest) // size * size
        yield rest[:whole]
        rest = rest[whole:]
    if rest:
        raise InputError(f"stdin: ends within a {unit}")
