"""Read a file, compress it, and hear what is left.

    python 1_encode_decode.py [speech.wav]
"""

import sys

import minicodec
from minicodec import audio
from minicodec.files import data_folder

path = sys.argv[1] if len(sys.argv) > 1 else data_folder() / "speech_en_1.flac"
codec = minicodec.load()  # the model that comes with minicodec: 24 kHz, mono

wav, rate = audio.read(path)  # (C,T) float32 in -1 … 1, and Hz
wav = audio.remix(audio.resample(wav, rate, codec.sample_rate), codec.channels)

packet = codec.compress(wav, kbps=6)
with open("speech.ecdc", "wb") as file:  # the file that `minicodec encode` would write
    file.write(packet)
seconds = wav.shape[1] / codec.sample_rate
print(f"{seconds:.1f} s: {len(packet)} bytes, {len(packet) * 8 / seconds / 1000:.2f} kbit/s")

decoded, rate = minicodec.decompress(packet, codec)
audio.write("speech_decoded.wav", decoded, rate, overwrite=True)
