"""`minicodec play`: an audio file, or what an .ecdc file decodes to, through a player that the system has."""

import argparse
import shutil
import subprocess
import tempfile
import webbrowser
from pathlib import Path

from minicodec import audio
from minicodec.cli import decode
from minicodec.cli.hearing import info, messages_of
from minicodec.cli.options import MODELS, add_device, add_fetch, add_quiet
from minicodec.codec.files.bitstream import MAGIC
from minicodec.codec.pretrained import BUNDLED
from minicodec.errors import InputError

PLAYERS = (  # of a WAV file, in this order; each ends when the sound does
    ("pw-play",),
    ("paplay",),
    ("afplay",),  # macOS
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("aplay", "-q"),
    ("play", "-q"),  # SoX
    ("mpv", "--no-video", "--really-quiet"),
)
SECONDS = 10  # read at a time


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    names = ", ".join(command for command, *_ in PLAYERS)
    parser.epilog = f"The first of these that the system has plays it: {names}. Without one, the browser does."
    parser.add_argument("file", metavar="FILE", type=Path, help="an .ecdc file, or audio of any kind")
    parser.add_argument("-m", "--model", help=f"the model of an .ecdc file: {BUNDLED}, or {MODELS}")
    add_fetch(parser)
    add_quiet(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Write a WAV file to a temporary place, and play it."""
    player = next((player for player in PLAYERS if shutil.which(player[0])), None)
    if player is None:
        sound = Path(tempfile.mkdtemp(prefix="minicodec-")) / "sound.wav"
        write_wav(args, sound)
        if not webbrowser.open(sound.as_uri()):
            sound.unlink()
            raise InputError(f"{args.file}: there is no player here that we know, and no browser")
        print(f"{sound}: opened in the browser, and left there for it")
        return 0
    with tempfile.TemporaryDirectory(prefix="minicodec-") as folder:
        sound = Path(folder) / "sound.wav"
        write_wav(args, sound)
        status = subprocess.run([*player, str(sound)], check=False).returncode
    if status:
        raise InputError(f"{args.file}: {player[0]} could not play it (status {status})")
    return 0


def write_wav(args: argparse.Namespace, sound: Path) -> None:
    """The file as 16 bit WAV, which every player knows."""
    if starts_with_magic(args.file):
        header, coded, _ = decode.read_start(args.file)
        options = argparse.Namespace(
            **vars(args), lm=None, start=0.0, rescale=True, skip_damaged=True, force=True, verbose=False
        )
        models = decode.Models(options)
        codec = models.codec(header, str(args.file))
        lm = decode.language_model(models.name(header), options, coded, codec)
        decode.write_audio(args.file, str(args.file), sound, codec, lm, options, models.notices)
        return
    with messages_of(args.file):
        about = info(args.file, str(args.file))
        with audio.writer(sound, about.channels, about.sample_rate, frames=about.frames) as out:
            for block in audio.blocks(args.file, SECONDS * about.sample_rate):
                out.write(block)


def starts_with_magic(path: Path) -> bool:
    """An .ecdc file, whatever it is called? What cannot be opened is left to those who say why."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
