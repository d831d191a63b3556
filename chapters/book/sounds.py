"""What the page "How it sounds" plays: the project's own clips, as they are, by way of Opus, and by way of minicodec."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

import minicodec
from minicodec import audio
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr

CLIPS = {
    "speech_en_2": "A voice",
    "music_song_44k_stereo": "A song",
    "drums_1": "Drums",
}
SECONDS = 6
OPUS_KBPS = (6, 12)


@dataclass(frozen=True)
class Sound:
    """A row of a clip's table: what coded it, its rate, the sound (C,T)."""

    name: str
    kbps: float
    wav: np.ndarray


def players(folder: Path) -> str:
    """Write the sounds to `folder`; the tables with their players, in MyST, for a page beside that folder."""
    codec = minicodec.load()
    folder.mkdir(parents=True, exist_ok=True)
    text = ""
    for clip, title in CLIPS.items():
        wav, rate = audio.read(data_folder() / f"{clip}.flac", frames=SECONDS * 48_000)
        wav = audio.resample(audio.remix(wav, codec.channels), rate, codec.sample_rate)
        wav = wav[:, : SECONDS * codec.sample_rate]
        text += f"## {title}\n\n`{clip}.flac`\n\n"
        text += "| | kbit/s | SI-SDR (dB) | mel distance (dB) |\n|---|--:|--:|--:|\n"
        for number, sound in enumerate(rows(codec, wav)):
            file = folder / f"{clip}-{number}.flac"
            soundfile.write(file, np.clip(sound.wav.T, -1, 1), codec.sample_rate, subtype="PCM_16")
            scores = "| "
            if number:
                distance = mel_distance(wav, sound.wav, codec.sample_rate)
                scores = f"{float(si_sdr(wav, sound.wav)[0]):.1f} | {distance:.1f}".replace("-", "−")
            text += f"| <span class='coded'>{sound.name}</span> {player(file)} | {sound.kbps:.3g} | {scores} |\n"
        text += "\n"
    return text


def rows(codec: "minicodec.Codec", wav: np.ndarray) -> list[Sound]:
    """The original, then Opus, then minicodec at each of its rates; rates are those of the payload."""
    result = [Sound("original, 16 bit", 16 * codec.sample_rate / 1000, wav)]
    for kbps in OPUS_KBPS:
        coded = opus(wav, codec.sample_rate, kbps)
        result.append(Sound("Opus", coded.payload_bytes * 8 / 1000 * codec.sample_rate / wav.shape[1], coded.wav))
    for kbps in sorted(codec.bandwidths, reverse=True):
        codes = codec.encode(wav, kbps=kbps)
        result.append(Sound("minicodec", kbps, codec.decode(codes)[:, : wav.shape[1]]))
    return result


def player(file: Path) -> str:
    """An audio element for one of the files."""
    return f'<audio controls preload="metadata" src="{file.parent.name}/{file.name}"></audio>'
