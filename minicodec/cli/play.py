"""`minicodec play`: audio files, or what .ecdc files decode to, through a player that the system has."""

import argparse
import shutil
import subprocess
import tempfile
import webbrowser
from collections.abc import Sequence
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
NO_DEVICE = "audio open failed"  # so ffplay says, and its exit status is 0
SECONDS = 10  # read at a time


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    names = ", ".join(command for command, *_ in PLAYERS)
    parser.epilog = (
        f"The first of these that the system has, and that finds a sound device, plays them: {names}. "
        "Where there is none of them, the browser does."
    )
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="an .ecdc file, or audio of any kind")
    parser.add_argument("-m", "--model", help=f"the model of .ecdc files: {BUNDLED}, or {MODELS}")
    add_fetch(parser)
    add_quiet(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Play one file after the other. Of several, each is named as it begins."""
    players = [player for player in PLAYERS if shutil.which(player[0])]
    if not players:
        check_for_browser()
    options = argparse.Namespace(
        **vars(args), lm=None, start=0.0, rescale=True, skip_damaged=True, force=True, verbose=False
    )
    models = decode.Models(options)
    for file in args.files:
        folder = tempfile.mkdtemp(prefix="minicodec-")
        left = None
        try:
            sound = Path(folder) / "sound.wav"
            write_wav(file, sound, models)
            if len(args.files) > 1 and not args.quiet:
                print(file, flush=True)
            if players:
                play(file, sound, players)
            elif webbrowser.open(sound.as_uri()):
                left = sound
                print(f"{left}: opened in the browser, and left there for it")
            else:
                raise InputError(f"{file}: the browser could not be opened")
        finally:
            if left is None:
                shutil.rmtree(folder)
    return 0


def check_for_browser() -> None:
    """InputError: there is none, nor a player."""
    try:
        webbrowser.get()
    except webbrowser.Error as error:
        names = ", ".join(command for command, *_ in PLAYERS)
        raise InputError(f"no player is installed ({names}), and no browser; minicodec decode writes a file") from error


def play(file: Path, sound: Path, players: Sequence[tuple[str, ...]]) -> None:
    """Play a WAV file by the first player that can: one whose sound server does not run leaves it to the next.

    InputError: none can. Ctrl-C ends the player, too.
    """
    failures = []
    for player in players:
        done = subprocess.run([*player, str(sound)], check=False, stderr=subprocess.PIPE, text=True, errors="replace")
        no_device = NO_DEVICE in done.stderr
        if done.returncode == 0 and not no_device:
            return
        last = NO_DEVICE if no_device else "".join(done.stderr.strip().splitlines()[-1:])
        failures.append(f"{player[0]} ({last or f'status {done.returncode}'})")
    raise InputError(f"{file}: could not be played by {', nor by '.join(failures)}")


def write_wav(file: Path, sound: Path, models: decode.Models) -> None:
    """The file as 16 bit WAV, which every player knows."""
    if starts_with_magic(file):
        decode.decode_one(models, file, str(file), sound)
        return
    with messages_of(file):
        about = info(file, str(file))
        with audio.writer(sound, about.channels, about.sample_rate, frames=about.frames) as out:
            for block in audio.blocks(file, SECONDS * about.sample_rate):
                out.write(block)


def starts_with_magic(path: Path) -> bool:
    """An .ecdc file, whatever it is called? What cannot be opened is left to those who say why."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
