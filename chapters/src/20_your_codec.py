# %% [markdown]
# # 20 Your codec
#
# **You will be able to** train the codec that you have written on a recording of your own, make files with it that
# minicodec reads, and say honestly how far it is from Opus, and from a model that was trained for days.
#
# **Before you start**: any of the chapters 2 to 16. Where you have not written a part, the library's stands in.
#
# **Reading time**: 20 minutes, and an evening with your own recordings. The cells take about half a minute.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(20)

# %%
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minicodec
from minicodec import audio
from minicodec.course import check, exercise, yours
from minicodec.course.catalogue import all_exercises
from minicodec.course.placing import answers, create, missing
from minicodec.course.show import play, spectrogram
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr

yours()
folder = Path("my_codec")
create(folder, {name: one.chapter for name, one in all_exercises().items()})
print(len(answers(folder)), "parts of my_codec are yours;", len(missing(folder)), "are the library's")

# %% [markdown]
# ## What you have
#
# The folder `my_codec` beside this notebook is a Python package. On a terminal, in the folder of the chapters:
#
# ```
# python -m my_codec train recording.wav my.safetensors
# python -m my_codec encode -m my.safetensors recording.wav recording.ecdc --kbps 6
# python -m my_codec decode -m my.safetensors recording.ecdc decoded.wav
# ```
#
# Each command says how much of it is yours. It watches which lines of Python run, in `my_codec` and in minicodec, and
# looks up whose they are. NumPy computes, and a file of weights is read by the library's `weights.py`; what lies
# between a waveform and the bytes of a file is yours.
#
# Here it runs in this notebook, so that you can look at what comes out. Put a recording of your own here, half a minute
# of a voice, say; it is cut to what a short training can learn.

# %%
RECORDING = data_folder() / "speech_en_1.flac"
LONG = False  # True: 3000 steps on all of the recording, some ten minutes
SECONDS = 30.0 if LONG else 2.0
STEPS = 3_000 if LONG else 80

sys.path.insert(0, "")
from my_codec import bits, quantizer, weights
from my_codec.train import RECIPE, Trainer, crops, train

wav, rate = audio.read(RECORDING)
wav = audio.resample(audio.remix(wav, 1), rate, 24_000)[0].astype(np.float32)[: int(SECONDS * 24_000)]

# %% [markdown]
# ## Train
#
# First the wave without quantizer, then with codebooks, each of which starts from k-means as soon as there are enough
# vectors; and in the last tenth, against the discriminators (chapter 13).

# %%
recipe = RECIPE | {"steps": STEPS, "warmup": STEPS // 2, "rival": STEPS * 9 // 10, "sample_rate": 24_000}
recipe |= {} if LONG else {"size": 2, "lr": 3e-3}
config = weights.TINY if LONG else weights.TINY | {"name": "short_24khz", "bandwidths": [0.45, 0.9, 1.8],
                                                   "quantizer": {"levels": 4, "entries": 64}}  # fmt: skip
codec = quantizer.Codec(config, np.random.default_rng(0))
curve = []
train(codec, wav, recipe, lambda step, losses: curve.append(losses))
weights.save(codec, "my.safetensors")

plt.figure(figsize=(9, 2.8))
plt.plot([losses["l1"] / curve[0]["l1"] for losses in curve], label="mean |x - x̂|")
plt.plot([losses["mel"] / curve[0]["mel"] for losses in curve], label="mel loss")
plt.axvline(recipe["warmup"], color="grey", lw=0.8)
plt.xlabel("step (the quantizer comes at the grey line)")
plt.ylabel("relative to the first step")
plt.legend()
plt.show()
assert codec.quantizer.ready == len(codec.quantizer.levels)
assert np.mean([losses["mel"] for losses in curve[-5:]]) < 0.8 * curve[0]["mel"]

# %% [markdown]
# ## A file, and whose lines wrote it

# %%
from minicodec.course.ownership import watched

name, entries = weights.name(codec), config["quantizer"]["entries"]
mine = weights.load("my.safetensors")
data, share = watched(lambda: bits.plain_file(mine.encode(wav, len(mine.quantizer.levels)), len(wav), name, entries), folder)
print(f"encode: {len(data)} bytes; {share}")
decoded, share = watched(lambda: mine.decode(bits.read_file(data, 320, entries)[2], len(wav)), folder)
print(f"decode: {share}")
_, share = watched(lambda: Trainer(codec, recipe | {"warmup": 0, "rival": 0}).step(crops(wav, 0, 0, 1, 3_000)), folder)
print(f"a training step: {share}")

# %% [markdown]
# Is it a codec, or does it only agree with itself? The library reads your model and your file, and decodes it; and it
# writes one for you.

# %%
library = minicodec.load("my.safetensors")
np.testing.assert_allclose(library.decompress(data)[0], decoded, atol=1e-4)
theirs = library.compress(wav[None], max(config["bandwidths"]))
model, samples, codes = bits.read_file(theirs, 320, entries)
assert (model, samples) == (name, len(wav))
np.testing.assert_allclose(mine.decode(codes, samples), decoded, atol=1e-4)
print("both ways:", name)

# %% [markdown]
# ## Beside Opus, and beside a model that was trained for longer
#
# Opus has no less than 6 kbit/s, so it gets 6, and more bytes than yours. The bundled model has the rate that comes
# next to yours; it has heard hours of other voices, and never this one. Yours has heard nothing else.

# %%
others = minicodec.load()
kbps = min((rate for rate in others.bandwidths if rate >= max(config["bandwidths"])), default=max(others.bandwidths))
packet = others.compress(wav[None], kbps)
ogg = opus(wav[None], 24_000, 6.0)
sounds = {
    "the recording": (wav, 48 * len(wav) // 24),
    "yours": (decoded, len(data)),
    "the bundled model": (others.decompress(packet)[0], len(packet)),
    "Opus": (ogg.wav[0], ogg.payload_bytes),
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), sharey=True)
for ax, (label, (sound, _)) in zip(axes, sounds.items(), strict=True):
    spectrogram(ax, sound, 24_000, label)
    ax.title.set_size(9)
    ax.label_outer()
plt.tight_layout()
plt.show()
for label, (sound, size) in sounds.items():
    rate = size * 8 / (len(wav) / 24_000) / 1000
    if label == "the recording":
        print(f"{label:18} {rate:6.1f} kbit/s")
    else:
        ratio, distance = float(si_sdr(wav, sound)), mel_distance(wav, sound, 24_000)
        print(f"{label:18} {rate:6.2f} kbit/s   SI-SDR {ratio:6.1f} dB   mel distance {distance:5.1f} dB")
    play(sound, 24_000, label)

# %% [markdown]
# A quarter of a minute of training is not much: the short version has learnt where the sound is loud, and hums. What the
# long one gets to, measure yourself; and try it on a voice that it has not heard. It will do worse, and you know why.
#
# ## Exercises
#
# One number belongs on a page like this: what a codec costs. Three short ones, on what you have made.

# %%
@exercise
def bits_per_second(data, samples, sample_rate):
    """data (bytes of a file), samples, sample_rate -> rate (), a number: bits that the file takes for each second."""
    raise NotImplementedError


check(bits_per_second)

# %%
@exercise
def header_share(data):
    """data (bytes of an .ecdc file of version 0) -> share (), a number from 0 to 1: how much of it is header.

    The header: 9 bytes, the last four of which say (highest byte first) how many bytes of JSON follow them.
    """
    raise NotImplementedError


check(header_share)

# %%
@exercise
def real_time(seconds, samples, sample_rate):
    """seconds (n), samples (n), sample_rate -> factor (), a number: how many seconds of sound a second of work codes.

    seconds: what each of n files took; samples: how long each is. All files count together, the long ones more.
    """
    raise NotImplementedError


check(real_time)

# %%
print(f"yours: {bits_per_second(data, len(wav), 24_000):.0f} bit/s, {header_share(data):.1%} of them header")

# %% [markdown]
# To think about: Yours was trained on what it codes. How would you test it fairly? Why does the header of a short file
# matter, and what would you leave out of it? If you had one more evening, would you spend it on more data, a larger
# model, or a longer training, and how would you find out?
#
# ## What the paper says
#
# Its model has 14.8 million weights, and was trained for 300 epochs of 2000 steps, with 64 seconds of sound in each, on
# eight GPUs [Defossez22, §4]. Yours has some 0.5 million, and saw a few minutes. The lines are the same.
#
# ## What to read next
#
# `my_codec`, from `tensor.py` to `stream.py`: you know every line. Then `minicodec/`, which does the same things faster.
