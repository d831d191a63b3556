"""`python -m my_codec`: train a codec on a recording, encode with it, decode. See --help."""

import argparse
import struct
import sys
import time
from pathlib import Path

import numpy as np

from minicodec import audio
from minicodec.course.my_codec import bits, weights
from minicodec.course.my_codec.quantizer import Codec
from minicodec.course.my_codec.train import RECIPE, Trainer, crops, train
from minicodec.course.my_codec.transform import start
from minicodec.course.ownership import watched
from minicodec.course.placing import missing
from minicodec.errors import InputError

HERE = Path(__file__).parent
NAMED_AT_MOST = 8  # parts; of more, it is said how many there are in each chapter


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 if it cannot be done, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog=f"python -m {HERE.name}", description="The codec of the chapters: yours.")
    commands = parser.add_subparsers(required=True, metavar="train | encode | decode")
    one = commands.add_parser("train", help="train a codec on a recording")
    one.add_argument("recording", type=Path, metavar="RECORDING", help="WAV, FLAC, OGG or MP3")
    one.add_argument("model", type=Path, metavar="MODEL.safetensors")
    one.add_argument("--steps", type=int, default=RECIPE["steps"], help="(default: %(default)s)")
    random = "begin with the SEANet of chapter 6 at random weights, and not where chapter 9 ends; half of the steps"
    one.add_argument("--random", action="store_true", help=f"{random} are made without quantizer")
    one.add_argument("--length", type=int, default=RECIPE["length"], help="samples of a crop (default: %(default)s)")
    one.set_defaults(run=run_train)
    one = commands.add_parser("encode", help="a recording becomes an .ecdc file")
    one.add_argument("recording", type=Path, metavar="RECORDING", help="WAV, FLAC, OGG or MP3")
    one.add_argument("out", type=Path, metavar="OUT.ecdc")
    one.add_argument("--kbps", type=float, help="one of the model's rates (default: the highest)")
    one.add_argument("--coded", action="store_true", help="entropy-coded")
    one.set_defaults(run=run_encode)
    two = commands.add_parser("decode", help="an .ecdc file becomes a WAV file")
    two.add_argument("file", type=Path, metavar="IN.ecdc")
    two.add_argument("out", type=Path, metavar="OUT.wav")
    two.set_defaults(run=run_decode)
    for parser_of_both in (one, two):
        parser_of_both.add_argument("-m", "--model", type=Path, required=True, metavar="MODEL.safetensors")
    args = parser.parse_args(arguments)
    print(whose())
    try:
        args.run(args)
    except (OSError, ValueError, InputError) as error:
        print(f"{HERE.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{HERE.name}: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


def whose() -> str:
    """What is not the reader's yet, in a line."""
    absent = missing(HERE)
    if not absent:
        return "All parts are yours."
    by_chapter = {n: [name for name, chapter in absent.items() if chapter == n] for n in sorted(set(absent.values()))}
    if len(absent) > NAMED_AT_MOST:
        where = ", ".join(f"{n} ({len(names)})" for n, names in by_chapter.items())
    else:
        where = ", ".join(f"{n} ({', '.join(names)})" for n, names in by_chapter.items())
    return f"The library stands in for {len(absent)} parts that you have not written yet, of chapters {where}"


def read(path: Path, sample_rate: int) -> np.ndarray:
    """A recording (T) float32, mixed to one channel."""
    wav, rate = audio.read(path)
    return audio.resample(audio.remix(wav, 1), rate, sample_rate)[0].astype(np.float32)


def load(path: Path) -> Codec:
    """The codec in a file."""
    try:
        return weights.load(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def run_train(args: argparse.Namespace) -> None:
    """Train, and save the codec."""
    config, steps = weights.TINY if args.random else weights.MINE, args.steps
    sample_rate = config["sample_rate"]
    recipe = RECIPE | {"steps": steps, "rival": steps * 19 // 20, "length": args.length, "sample_rate": sample_rate}
    if args.random:
        recipe["warmup"] = steps // 2
    longest = max(*recipe["windows"], *recipe["judges"])
    if steps < 1:
        raise ValueError("--steps: at least 1")
    if args.length < longest:
        raise ValueError(f"--length: at least {longest}, the longest window of the losses")
    wav = read(args.recording, sample_rate)
    if len(wav) < args.length:
        raise ValueError(f"{args.recording}: {len(wav)} samples are shorter than a crop of {args.length}")
    begin = time.perf_counter()
    codec = weights.build(config, np.random.default_rng(0))
    if not args.random:
        hop, N = weights.hop(config), config["quantizer"]["entries"]
        some = crops(wav, 0, steps, 4 * N * hop // args.length + 1, args.length)  # of no step: those end at steps - 1
        start(codec, some, recipe["size"] * args.length / hop, np.random.default_rng(0))

    def report(step: int, losses: dict[str, float]) -> None:
        if (step + 1) % max(1, steps // 20) == 0:
            words = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
            print(f"step {step + 1} of {steps}, {time.perf_counter() - begin:.0f} s: {words}", flush=True)

    train(codec, wav, recipe, report)
    weights.save(codec, args.model)
    print(f"{args.model}: {weights.name(codec)}")
    ready, levels = codec.quantizer.ready, len(codec.quantizer.levels)
    if ready < levels:
        print(f"Only {ready} of {levels} codebooks have been started: for the others, --steps must be larger.")
    # A step with quantizer and discriminators, as the last ones of the training were, on a copy of what there is.
    trainer = Trainer(codec, recipe | {"warmup": 0, "rival": 0})
    batch = crops(wav, 0, 0, recipe["size"], args.length)
    _, share = watched(lambda: trainer.step(batch), HERE)
    print(f"a training step: {share}")


def run_encode(args: argparse.Namespace) -> None:
    """A recording -> a file."""
    codec = load(args.model)
    config = codec.config
    kbps = max(config["bandwidths"]) if args.kbps is None else args.kbps
    if kbps not in config["bandwidths"]:
        raise ValueError(f"{kbps:g} kbps is not on offer: choose one of {config['bandwidths']}")
    hop, N = weights.hop(config), config["quantizer"]["entries"]
    Q = int(kbps * 1000 / (-(-config["sample_rate"] // hop) * (N.bit_length() - 1)) + 1e-9)
    wav, name = read(args.recording, config["sample_rate"]), weights.name(codec)
    write = bits.coded_file if args.coded else bits.plain_file
    data, share = watched(lambda: write(codec.encode(wav, Q), len(wav), name, N), HERE)
    args.out.write_bytes(data)
    print(f"{args.out}: {len(data)} bytes, {len(data) * 8 / len(wav) * config['sample_rate'] / 1000:.2f} kbps")
    print(f"encode: {share}")


def run_decode(args: argparse.Namespace) -> None:
    """A file -> a sound."""
    codec = load(args.model)
    hop, N = weights.hop(codec.config), codec.config["quantizer"]["entries"]
    data, own = args.file.read_bytes(), weights.name(codec)
    if data[:4] != b"ECDC":
        raise ValueError(f"{args.file}: is not an .ecdc file")

    def decode() -> tuple[str, np.ndarray]:
        name, samples, codes = bits.read_file(data, hop, N)
        return name, codec.decode(codes, samples)

    try:
        (name, wav), share = watched(decode, HERE)
    except (ValueError, KeyError, struct.error) as error:
        raise ValueError(f"{args.file}: cannot be decoded, it may be cut off or damaged ({error})") from error
    if name != own:
        raise ValueError(f"{args.file}: was made by the model {name}, this one is {own}")
    audio.write(args.out, wav[None], codec.config["sample_rate"], overwrite=True)
    print(f"{args.out}: {len(wav) / codec.config['sample_rate']:.2f} s")
    print(f"decode: {share}")


if __name__ == "__main__":
    sys.exit(main())
