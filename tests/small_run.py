"""What the tests of training share: a folder of generated audio, and a model small enough to train in seconds."""

import numpy as np
import soundfile

SETTINGS = [
    "seanet.filters=4", "seanet.latent=8", "quantizer.levels=2", "quantizer.entries=16", "bandwidths=[0.3,0.6]",
    "batch=2", "seconds=0.25", "warmup_steps=6", "lr=3e-3", "loss.mel_windows=[128,512]",
    "checkpoint_every=4", "validate_every=14", "valid_clips=1", "valid_seconds=0.25", "log_every=1",
]  # fmt: skip


def make_audio(folder):
    """Three files of two seconds: chords, each note with its own vibrato."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    t = np.arange(48_000) / 24_000
    for i in range(3):
        notes = [
            np.sin(2 * np.pi * f * t + rng.normal() * np.sin(2 * np.pi * 5 * t)) for f in rng.uniform(100, 2000, 4)
        ]
        soundfile.write(folder / f"chord{i}.wav", 0.1 * np.sum(notes, axis=0), 24_000, subtype="PCM_16")
    return folder
