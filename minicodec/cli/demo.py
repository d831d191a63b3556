"""`minicodec demo`: the main job in seconds, without any other file; or, with --train, from the very beginning."""

import argparse
from pathlib import Path

import numpy as np

import minicodec
from minicodec import audio
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError
from minicodec.files import data_folder, write_atomically

CLIPS = ("speech_en_2.flac", "music_song_44k_stereo.flac", "drums_1.flac")
CLIP_SECONDS = 4.0
MARK = ".minicodec-demo"  # a file: its folder is the demo's

PRESET = "tiny_24khz"
STEPS = 500
QUANTIZED_STEPS = 160  # the last ones: k-means takes 112 of them, and then the codebooks settle
# What a minute allows: short crops, few windows, and hardly any mel loss, since L1 teaches the waveform sooner.
SETTINGS = (
    *("batch=4", "seconds=0.5", "lr=1e-3"),
    *("loss.l1=50", "loss.warmup_mel=0.1", "loss.mel=0.1", "loss.mel_windows=[64,256,1024]"),
)

NEXT = """
Listen to {out}/{clip}.wav and to the decoded files beside it; look at {out}/{clip}.png.
{remark} Then try
  minicodec encode YOUR_AUDIO out.ecdc{option} -b {kbps:g}
  minicodec decode out.ecdc again.wav{option}
  {then}"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=Path("minicodec-demo"), help="minicodec-demo by default"
    )
    parser.add_argument(
        "--train",
        metavar="STEPS",
        type=int,
        nargs="?",
        const=STEPS,
        help=f"train a tiny codec first, on other clips; {STEPS} steps, about a minute, by default",
    )


def run(args: argparse.Namespace) -> int:
    """Compress clips with the bundled model, or one clip with a model trained on the others; show what came of it."""
    if args.train is None:
        _prepare(args.out)
        codec = minicodec.load()
        for name in CLIPS:
            wav, rate = audio.read(data_folder() / name)
            wav = audio.resample(audio.remix(wav, codec.channels), rate, codec.sample_rate)
            _compress(codec, name, wav[:, : round(CLIP_SECONDS * codec.sample_rate)], args.out)
        option, remark = "", f"That was {BUNDLED}; its model card says what it learned from, and what it can do."
        clip, then = Path(CLIPS[0]).stem, "minicodec demo --train"
    else:
        codec, name, wav = _trained(args)
        _compress(codec, name, wav, args.out)
        option = f" -m {args.out}/model.safetensors"
        remark = "A minute of training gives a rough codec: with --train 5000 you will hear the difference."
        clip, then = Path(name).stem, "minicodec train mini_24khz --data YOUR_FOLDER --out runs/first"
    kbps = max(codec.bandwidths)
    print(NEXT.format(out=args.out, clip=clip, remark=remark, option=option, kbps=kbps, then=then))
    return 0


def _trained(args):
    """A codec trained on all clips but one, the name of that one, and a piece (C,T) of it."""
    from minicodec.training import config
    from minicodec.training.data import AudioFolder

    if args.train <= QUANTIZED_STEPS:
        raise InputError(f"--train {args.train}: the demo needs more than {QUANTIZED_STEPS} steps")
    _prepare(args.out)
    settings = [*SETTINGS, f"steps={args.train}", f"warmup_steps={args.train - QUANTIZED_STEPS}"]
    recipe = config.from_preset(PRESET, str(data_folder()), settings)
    data = AudioFolder(
        recipe.data,
        sample_rate=recipe.model.sample_rate,
        channels=recipe.model.channels,
        seconds=recipe.training.seconds,
        seed=recipe.training.seed,
    )
    ((name, clip),) = data.valid_clips(1, CLIP_SECONDS)
    print(f"Training {PRESET} on {len(data.train)} clips in {data.folder}; {name} is kept aside.", flush=True)
    codec = _train(recipe, data)
    codec.save(args.out / "model.safetensors", overwrite=True)
    return codec, name, clip.T


def _prepare(out: Path) -> None:
    """Make the folder, and mark it. The demo may replace what it wrote itself, and nothing else."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        foreign = [] if (out / MARK).exists() else [path.name for path in out.iterdir()]
        if not foreign:
            (out / MARK).touch()
    except OSError as error:
        raise InputError(f"{out}: cannot be the demo's folder ({error.strerror})") from error
    if foreign:
        raise InputError(
            f"{out}: holds files that are not the demo's ({min(foreign)}); choose another folder with --out"
        )


def _train(recipe, data):
    """The codec with averaged weights, after all steps."""
    from minicodec.training.prefetch import Prefetcher
    from minicodec.training.process_memory import keep_freed_memory
    from minicodec.training.progress import Progress
    from minicodec.training.trainer import Trainer

    keep_freed_memory()
    trainer, settings = Trainer(recipe), recipe.training
    with (
        Progress(settings.steps, 0, settings.batch * settings.seconds) as progress,
        Prefetcher(lambda step: data.batch(step, settings.batch), 0) as batches,
    ):
        for x in batches:
            figures = trainer.update(x)
            progress.update({name: figures[name] for name in ("l1", "mel", "commitment")})
            if trainer.step == settings.steps:
                break
    return trainer.averaged_codec()


def _compress(codec, name: str, wav: np.ndarray, out: Path) -> None:
    """Write wav (C,T) compressed at every bandwidth, and decoded again; print a table and draw the best."""
    from minicodec.codec.files.bitstream import read_header
    from minicodec.metrics import mel_distance, si_sdr
    from minicodec.training.curves import comparison

    clip, seconds = Path(name).stem, wav.shape[1] / codec.sample_rate
    audio.write(out / f"{clip}.wav", wav, codec.sample_rate, overwrite=True)
    print(f"\n{seconds:g} s of {name}, which the codec has not heard before:\n", flush=True)
    print("kbit/s asked   of the payload   SI-SDR (dB)   mel distance (dB)   file")
    for kbps in codec.bandwidths:
        path = out / f"{clip}_{kbps:g}kbps.ecdc"
        packet = codec.compress(wav, kbps)
        with write_atomically(path, overwrite=True) as temporary:
            temporary.write_bytes(packet)
        decoded = codec.decompress(packet, str(path))
        audio.write(path.with_suffix(".wav"), decoded, codec.sample_rate, overwrite=True)
        _, header = read_header(packet, str(path))
        payload = (len(packet) - header) * 8 / 1000 / seconds
        quality, distance = si_sdr(wav, decoded).mean(), mel_distance(wav, decoded, codec.sample_rate)
        print(f"{kbps:>12g}   {payload:>14.2f}   {quality:>11.1f}   {distance:>17.1f}   {path}", flush=True)
    title = f"{clip}: {kbps:g} kbit/s, SI-SDR {quality:.1f} dB"
    comparison(wav.mean(axis=0), decoded.mean(axis=0), codec.sample_rate, out / f"{clip}.png", title)
