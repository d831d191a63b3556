"""A folder as `minicodec evaluate` writes it, small: noise, different in every file."""

import zlib

import numpy as np

from minicodec import audio

CONDITIONS = ("reference", "lowpass-3.5kHz", "lowpass-7kHz", "opus-6kbps", "ours-3kbps", "ours-6kbps")


def make_folder(folder, clips=("bells", "drums", "speech"), conditions=CONDITIONS, seconds=0.1):
    for clip in clips:
        (folder / "clips" / clip).mkdir(parents=True)
        for condition in conditions:
            noise = np.random.default_rng(zlib.crc32(f"{clip}/{condition}".encode())).normal(
                0, 0.1, round(8000 * seconds)
            )
            audio.write(folder / "clips" / clip / f"{condition}.wav", noise[None].astype(np.float32), 8000)
    return folder
