"""Audio as tokens for a language model, and tokens as audio.

A frame of audio (13.3 ms) is one code of each codebook. A language model wants one sequence of numbers: here the codes
of a frame follow each other, and each codebook has numbers of its own, so that the vocabulary is Q · N. Chapter 15
and `minicodec train-lm` do better: they predict all codes of a frame together.
"""

import numpy as np

import minicodec
from minicodec import audio
from minicodec.files import data_folder

codec = minicodec.load()
N = codec.config.quantizer.entries

clips = [audio.read(data_folder() / f"speech_en_{n}.flac", frames=24_000)[0] for n in (1, 2, 3)]
batch = np.stack(clips)  # (B,C,T): waveforms of one length; a list of waveforms may have several
codes = codec.encode(batch, kbps=1.5).codes  # (B,Q,frames) int16
B, Q, frames = codes.shape

offsets = N * np.arange(Q)[None, :, None]
tokens = (codes + offsets).transpose(0, 2, 1).reshape(B, frames * Q)  # frame after frame
print(f"{B} clips of {frames} frames, {Q} codes each: {tokens.shape[1]} tokens out of {Q * N}")

# What a language model has written goes the other way.
written = tokens[:, : 40 * Q]
codes = written.reshape(B, -1, Q).transpose(0, 2, 1) - offsets
wavs = codec.decode(codes)  # (B,C,T)
for n, wav in enumerate(wavs, start=1):
    audio.write(f"tokens_{n}.wav", wav, codec.sample_rate, overwrite=True)
