# %% [markdown]
# # 20 Your codec
#
# **You will be able to** train the codec that you have written on a recording of your own, make files
# with it that minicodec reads, and say honestly how far it is from Opus, and from a model that was
# trained for days.
#
# **Before you start**: any of the chapters 2 to 16. Where you have not written a part, the library's
# stands in.
#
# **Reading time**: 20 minutes, and an evening with your own recordings. The cells take about half a
# minute.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(20)

# %%
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import minicodec
from minicodec import audio
from minicodec.course import check, exercise, yours
from minicodec.course.catalogue import all_exercises
from minicodec.course.ownership import watched
from minicodec.course.placing import answers, create, missing
from minicodec.course.show import panels, play, spectrogram
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr

yours()
folder = Path("my_codec")
create(folder, {name: one.chapter for name, one in all_exercises().items()})
print(len(answers(folder)), "parts of my_codec are yours;", len(missing(folder)), "the library's")

# %% [markdown]
# ## What you have
#
# The folder `my_codec` beside this notebook is a Python package. On a terminal, in the folder of the
# chapters:
#
# ```
# python -m my_codec train recording.wav my.safetensors
# python -m my_codec encode -m my.safetensors recording.wav recording.ecdc --kbps 6
# python -m my_codec decode -m my.safetensors recording.ecdc decoded.wav
# ```
#
# (The recording should be of ten seconds at least. The training makes 1000 steps, which take three
# minutes on an idle computer; `--steps 3000` makes it three times as long, and a little better.) What
# `my_codec` writes, minicodec reads, and the reverse:
#
# ```
# minicodec decode -m my.safetensors recording.ecdc decoded.wav
# minicodec encode -m my.safetensors -b 6 recording.wav theirs.ecdc
# python -m my_codec decode -m my.safetensors theirs.ecdc decoded.wav
# ```
#
# Each command of `my_codec` says how much of it is yours. It watches which lines of Python run, in
# `my_codec` and in minicodec, and looks up whose they are. NumPy computes, and a file of weights is
# read by the library's `weights.py`; what lies between a waveform and the bytes of a file is yours.
#
# The same can run in this notebook, where you can look at everything that comes out. It does so in
# two sizes. The short one learns from three seconds at 8 kHz. The long one learns from half a minute
# at 24 kHz, and takes eight to ten minutes on an idle computer: put in the path of a recording of your
# own, of a voice, say, set `LONG = True`, run all cells, and have a cup of tea.

# %%
RECORDING = data_folder() / "speech_en_1.flac"
UNHEARD = data_folder() / "speech_en_2.flac"  # another voice, for a test
LONG = False
RATE, SECONDS, STEPS = (24_000, 30.0, 3_000) if LONG else (8_000, 3.0, 200)

sys.path.insert(0, "")
from my_codec import bits, weights
from my_codec.train import RECIPE, Trainer, crops, train
from my_codec.transform import start


def sound_of(path):
    """The first seconds of a file: (1,T) at 24 kHz, and (T) at the codec's sample rate."""
    recording, rate = audio.read(path)
    recording = audio.resample(audio.remix(recording, 1), rate, 24_000)
    recording = recording[:, : int(SECONDS * 24_000)]
    return recording, audio.resample(recording, 24_000, RATE)[0].astype(np.float32)


recording, wav = sound_of(RECORDING)
_, unheard = sound_of(UNHEARD)
print(f"{len(wav) / RATE:.1f} s of {Path(RECORDING).name} at {RATE / 1000:g} kHz")

# %% [markdown]
# ## Begin where chapter 9 ended
#
# The encoder of chapter 6 begins at random weights, and has to find out what a frequency is. The
# paper's model has 600 000 steps for that. You have three thousand. So let your codec begin as the
# transform codec of chapter 9: a convolution with one stride of 320 samples, whose weights are known;
# companding; your residual units, which begin as almost nothing; your principal components; and your
# codebooks, each of them k-means over what the ones before it have left over. The units keep on
# learning from there, and so do the matrices and the codebooks.
#
# `start` takes some crops of the recording, and sets all of that. What comes out before the first
# step of training?

# %%
config, recipe = weights.MINE, RECIPE | {"steps": STEPS, "sample_rate": RATE}
recipe["rival"] = STEPS * 19 // 20
if not LONG:
    config = config | {
        "name": "short_8khz", "sample_rate": RATE, "bandwidths": [1.2, 2.4, 4.8],
        "transform": config["transform"] | {
            "hop": 80, "latent": 32, "encoder": [1], "decoder": [1, 2], "noise_from": 0,
        },
        "quantizer": {"levels": 8, "entries": 64},
    }  # fmt: skip
    recipe |= {
        "size": 2, "length": 4_000, "decay": 0.9, "windows": (64, 256), "judges": (256, 128),
    }  # fmt: skip
hop, N, Q = weights.hop(config), config["quantizer"]["entries"], config["quantizer"]["levels"]
codec = weights.build(config, np.random.default_rng(0))
some = crops(wav, 0, STEPS, 4 * N * hop // recipe["length"] + 1, recipe["length"])
start(codec, some, recipe["size"] * recipe["length"] / hop, np.random.default_rng(0))


def figures(x, decoded):
    """SI-SDR and mel distance, in words."""
    ratio, distance = float(si_sdr(x, decoded)), mel_distance(x, decoded, RATE)
    return f"SI-SDR {ratio:5.1f} dB   mel distance {distance:5.1f} dB"


begun = codec.decode(codec.encode(wav, Q), len(wav))
play(begun, RATE, f"before any training:   {figures(wav, begun)}")

# %% [markdown]
# ## Train
#
# With the quantizer from the first step on, and with as many codebooks as the step draws; in the end,
# for a few steps, against the discriminators (chapter 13).

# %%
curve = []
train(codec, wav, recipe, lambda step, losses: curve.append(losses))
weights.save(codec, "my.safetensors")

width = STEPS // 6  # steps that are averaged, for some draw one codebook, some eight
axes = panels(height=2.8)
for loss, label in (("l1", "mean |x - x̂|"), ("mel", "mel loss")):
    values = np.array([losses[loss] for losses in curve])
    means = np.convolve(values, np.ones(width) / width, "valid")
    axes.plot(np.arange(len(means)) + width / 2, means / means[0], label=label)
axes.axvline(recipe["rival"], color="grey", lw=0.8)
axes.set(xlabel="step (grey: discriminators)", ylabel="relative to the start")
axes.legend()
plt.show()

# %% [markdown]
# ## A file, and whose lines wrote it

# %%
name, mine = weights.name(codec), weights.load("my.safetensors")
data, share = watched(lambda: bits.plain_file(mine.encode(wav, Q), len(wav), name, N), folder)
print(f"encode: {len(data)} bytes; {share}")
decoded, share = watched(lambda: mine.decode(bits.read_file(data, hop, N)[2], len(wav)), folder)
print(f"decode: {share}")
trainer = Trainer(codec, recipe | {"rival": 0})
batch = crops(wav, 0, 0, 1, min(3_000, len(wav)))
_, share = watched(lambda: trainer.step(batch), folder)
print(f"a training step: {share}")

# %% [markdown]
# Is it a codec, or does it only agree with itself? The library reads your model and your file, and
# decodes it; and it writes a file for you to decode.

# %%
library = minicodec.load("my.safetensors")
np.testing.assert_allclose(library.decompress(data)[0], decoded, atol=1e-4)
theirs = library.compress(wav[None], max(config["bandwidths"]))
model, samples, codes = bits.read_file(theirs, hop, N)
assert (model, samples) == (name, len(wav))
np.testing.assert_allclose(library.decompress(theirs)[0], mine.decode(codes, samples), atol=1e-4)
print("both ways:", name)

# %% [markdown]
# ## Beside Opus, and beside a model that was trained for longer
#
# Opus does not go below 6 kbit/s, so it gets 6. The bundled model gets the lowest of its rates that
# is not below yours. Both are given the recording at 24 kHz, and compared with yours at your rate.
# The bundled model has heard hours of other sounds. Yours has heard nothing but what it codes here.
# So at the end it gets a voice that it has never heard.

# %%
others = minicodec.load()
enough = [kbps for kbps in others.bandwidths if kbps >= max(config["bandwidths"])]
packet = others.compress(recording, min(enough, default=max(others.bandwidths)))
ogg = opus(recording, 24_000, 6.0)
sounds = {
    "yours": (decoded, len(data)),
    "the bundled model": (others.decompress(packet), len(packet)),
    "Opus": (ogg.wav, ogg.payload_bytes),
}
for label in ("the bundled model", "Opus"):
    sound, size = sounds[label]
    sounds[label] = audio.resample(sound, 24_000, RATE)[0, : len(wav)], size

axes = panels(4, 2.8, sharey=True)
spectrogram(axes[0], wav, RATE, "the recording")
play(wav, RATE, f"the recording: {16 * RATE / 1000:g} kbit/s")
for ax, (label, (sound, size)) in zip(axes[1:], sounds.items(), strict=True):
    spectrogram(ax, sound, RATE, label)
    kbps = size * 8 / (len(wav) / RATE) / 1000
    play(sound, RATE, f"{label:18} {kbps:5.2f} kbit/s   {figures(wav, sound)}")
for ax in axes:
    ax.title.set_size(9)
    ax.label_outer()
plt.show()
again = mine.decode(mine.encode(unheard, Q), len(unheard))
play(again, RATE, f"yours, a voice that it has not heard:   {figures(unheard, again)}")
if not LONG:  # of your own recording, nothing is promised
    assert si_sdr(wav, decoded) > 1
    assert mel_distance(wav, decoded, RATE) < mel_distance(wav, begun, RATE)

# %% [markdown]
# Three seconds at 8 kHz are enough to be understood. They are not enough to be a codec for everybody:
# of the other voice, much is lost.
#
# Half a minute at 24 kHz is more. On 27.8 seconds of a reader's voice, the long version took 490
# seconds of one core, and made this of them at 6 kbit/s:
#
# | | SI-SDR | mel distance |
# |---|---|---|
# | before any training | 8.4 dB | 6.8 dB |
# | after 1000 steps (`python -m my_codec train`) | 8.6 dB | 4.6 dB |
# | after 3000 steps | 8.2 dB | 4.6 dB |
# | the same, other sentences of that voice | 8.8 dB | 4.9 dB |
# | another woman's voice | 2.8 dB | 7.9 dB |
# | a man's voice | 4.7 dB | 9.3 dB |
# | the bundled model, on the same recording | 5.9 dB | 4.2 dB |
# | Opus, on the same recording | 6.9 dB | 13.6 dB |
# | 3000 steps from random weights (chapter 6's SEANet) | −42.8 dB | 11.7 dB |
#
# So it is a codec for one voice. Sentences that it has not heard cost it nothing; other voices do.
# The waveform came from chapter 9, and training hardly changes it. What training brings is the mel
# distance: how loud each band is. What remains of the error can be measured, too: from 750 Hz on,
# yours is too quiet, by 5 dB between 1.5 and 3 kHz, and by 2 or 3 dB elsewhere. Your noise_signs
# (chapter 9) cost 0.1 dB after 1000 steps. Without them, power above 2 kHz stood in lines 75 Hz apart,
# 27 dB above what lay between them; with them it is 1 dB, as in the recording.
#
# The last row had the same losses and the same learning rate, and crops half as long. It found the
# loudness of some bands, and no waveform at all. `python -m my_codec train --random` begins there, if
# you want to hear it. What your codec gets to with your recording, measure yourself.
#
# ## Exercises
#
# One number belongs on a page like this: what a codec costs. Three short ones, on what you have made.
#
# 1. `bits_per_second`: with all that is in the file.
# 2. `header_share`: what says what it is.
# 3. `real_time`: faster than the sound, or slower?

# %%
@exercise
def bits_per_second(data, samples, sample_rate):
    """data (bytes of a file), samples, sample_rate -> rate (), a number: bits for each second.

    samples: how long the sound in the file is.
    """
    raise NotImplementedError


check(bits_per_second)

# %%
@exercise
def header_share(data):
    """data (bytes of an .ecdc file, version 0) -> share (), from 0 to 1: how much of it is header.

    The header: 9 bytes, the last four of which say (highest byte first) how many bytes of JSON
    follow them; and that JSON.
    """
    raise NotImplementedError


check(header_share)

# %%
@exercise
def real_time(seconds, samples, sample_rate):
    """seconds (n), samples (n), sample_rate -> factor (): seconds of sound for a second of work.

    seconds: what each of n files took; samples: how long each is. All files count together, the
    long ones more.
    """
    raise NotImplementedError


check(real_time)

# %%
seconds = []
for _ in range(3):
    start = time.perf_counter()
    mine.encode(wav, Q)
    seconds.append(time.perf_counter() - start)
factor = real_time(np.array(seconds), np.array([len(wav)] * 3), RATE)
rate = bits_per_second(data, len(wav), RATE)
print(f"yours: {rate:.0f} bit/s, {header_share(data):.1%} of them header")
print(f"it encodes {factor:.1f} seconds of sound a second")

# %% [markdown]
# To think about: Yours was trained on what it codes. How would you test it fairly? Why does the header
# of a short file matter, and what would you leave out of it? If you had one more evening, would you
# spend it on more data, a larger model, or a longer training, and how would you find out?
#
# ## What the paper says
#
# Its model has 14.8 million weights. It was trained for 300 epochs of 2000 steps, each with a batch
# of 64 seconds of sound, on eight GPUs [Defossez22, §4]. The long one of this chapter has 1.3 million
# weights and 3000 steps with two seconds of sound in each, all from one recording. The lines are the
# same, but for the start: the paper's model begins at random weights.
#
# ## What to read next
#
# `my_codec`, from `tensor.py` to `stream.py`: you know every line. Then `minicodec/`, which does the
# same things faster.
