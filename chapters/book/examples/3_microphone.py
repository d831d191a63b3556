"""Live audio: samples come in as a microphone gives them, packets go out, samples come back.

`microphone` stands for what your system has, for instance sounddevice.InputStream. Whatever the sizes of its blocks,
the codes are those of the whole signal coded at once.
"""

from collections.abc import Iterator

import numpy as np

import minicodec
from minicodec import audio
from minicodec.files import data_folder


def microphone(rate: int) -> Iterator[np.ndarray]:
    """Blocks (1,n) of 3 to 40 ms."""
    wav, _ = audio.read(data_folder() / "speech_en_2.flac", frames=2 * rate)
    rng, place = np.random.default_rng(0), 0
    while place < wav.shape[1]:
        n = int(rng.integers(3, 41)) * rate // 1000
        yield wav[:, place : place + n]
        place += n


codec = minicodec.load()
sender, receiver = codec.stream_encoder(kbps=6), codec.stream_decoder()
sent, heard = [], []
for block in microphone(codec.sample_rate):
    codes = sender.push(block)  # (Q,frames): those that are complete now, perhaps none
    sent.append(codes)
    heard.append(receiver.push(codes))  # (1,n): at once
sent.append(sender.flush())  # the last frame is not full
heard.append(receiver.push(sent[-1]))
heard.append(receiver.flush())

codes, wav = np.concatenate(sent, axis=1), np.concatenate(heard, axis=1)
whole = np.concatenate(list(microphone(codec.sample_rate)), axis=1)
assert np.array_equal(codes, codec.encode(whole, kbps=6).codes)
print(f"{codes.shape[1]} frames of {codes.shape[0]} codes, one each {1000 / codec.frame_rate:.1f} ms")
audio.write("heard.wav", wav, codec.sample_rate, overwrite=True)
