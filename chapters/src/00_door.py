# %% [markdown]
# # 0 A door
#
# **You will be able to** say what a neural codec is by having heard one; find your way through this
# book by its diagram; and use the four words that all chapters use: `@exercise`, `check`, `yours`,
# `my_codec`.
#
# **Before you start**: Python. Headphones help.
#
# **Reading time**: ten minutes. The cells take some ten seconds, and as long once more the first
# time, when the library is compiled for your machine. (Shift + Enter runs a cell.)

# %%
from minicodec.course.diagram import you_are_here

you_are_here(0)

# %%
import matplotlib.pyplot as plt
import numpy as np

import minicodec
from minicodec import audio
from minicodec.course import check, exercise, yours
from minicodec.course.show import play, spectrograms
from minicodec.evaluation.baselines import opus
from minicodec.files import data_folder

yours();

# %% [markdown]
# ## Listen
#
# Here are five seconds of speech: 24 000 numbers a second, 16 bits each, 384 kbit/s. A **codec**
# makes a small file out of them, and sound out of the file. We allow it 6 kbit/s: one bit in
# sixty-four.
#
# You will hear two codecs. Opus, which carries most calls on the internet, was built by people who
# knew how voices work. The network that comes with this book began as a plain transform (chapter 9
# builds it), which knows nothing of voices. Then it was shown sound, and told when it was wrong.

# %%
wav, rate = audio.read(data_folder() / "speech_en_3.flac", frames=5 * 24_000)
codec = minicodec.load()
packet = codec.compress(wav, kbps=6)  # the bytes of a file
neural, _ = minicodec.decompress(packet, codec)
classic = opus(wav, rate, 6).wav

play(wav, rate, f"the original: {wav.size * 2} bytes")
play(classic, rate, "Opus at 6 kbit/s")
play(neural, rate, f"the network at 6 kbit/s: {len(packet)} bytes")
spectrograms({"original": wav[0], "Opus": classic[0], "the network": neural[0]}, rate)
assert len(packet) * 8 / (wav.size / rate) < 6500

# %% [markdown]
# Neither is the original. In the pictures, time runs to the right, frequency upwards, and bright is
# loud. Opus is a good telephone: nothing above 4 kHz. The network keeps the brilliance of an s. Its
# own mistakes are in the vowels: of many of the tones in a voice it makes noise, and sounds hoarse.
# The network is small and was trained for hours on two cores of a CPU; its big sister, EnCodec, on
# which this book is modelled, was trained on eight GPUs [Defossez22].
#
# ## The diagram
#
# Look at it again, above. From left to right: **numbers** come from a microphone (1). The
# **encoder** (3 to 6) makes 75 vectors a second out of them. The **quantizer** (7, 8) replaces each
# vector by a few numbers, its *codes*: "the nearest one in my book is number 417". The codes go to
# the **file** (14, 15). The **decoder** (4, 6) looks them up, and paints sound.
#
# Below that runs the way back. In **training** (10 to 13) something compares what came out with
# what went in, and says for every weight in which direction it would have been better. That is a
# gradient (2), and this book computes all of them by hand. The bottom row holds what does not stand
# on the way. Each chapter starts with this diagram and a mark: *you are here*.
#
# All of it is Python that you can read, and in each chapter you write some of it yourself.
#
# ## How an exercise works
#
# A cell with `@exercise` holds a function without a body. Write it, run the cell, and `check` tells
# you whether it is right. It calls your function a few times, compares what comes back with what
# the library computes, and says in words what is wrong. Run the cell again with the same mistake,
# and it says more.
#
# **As long as you have not written it, the library's own function stands in.** So nothing that
# follows breaks, you can read first and write later, and you need not solve everything.
#
# Try it. A codec with 8 codebooks of 1024 entries sends 8 codes in each of its 75 frames a second.
# One of 1024 is 10 bits, since $2^{10} = 1024$. How many thousand bits a second is that? Put two
# lines in place of the `raise`. Be wrong first, if you like, and see what `check` says.
#
# ### Exercise 1

# %%
@exercise
def bitrate(levels, entries, frame_rate):
    """levels, entries, frame_rate (per second) -> kbps, a number: thousands of bits per second.

    A frame holds one code for each level, and each code names one of `entries` (a power of two).
    """
    raise NotImplementedError


check(bitrate)

# %%
for levels in (2, 4, 8):
    asked = float(bitrate(levels, 1024, 75))
    bits = 8 * len(codec.compress(wav, kbps=asked))
    print(f"{levels} levels: {asked:g} kbit/s; the file has {bits / wav.size * rate / 1000:.2f}")

# %% [markdown]
# (A file has a few bytes more: it must say what it is.)
#
# ## What is yours
#
# A function that `check` has found right is kept, as text, in the folder `my_codec` beside your
# notebooks. So the next chapter, which is another notebook, has it too. There `yours()`, in the
# cell of the imports, reads the folder, judges everything anew, and gives the names of what is
# right.

# %%
print("right so far:", ", ".join(yours()) or "nothing yet")

# %% [markdown]
# Chapter by chapter that folder fills: with a convolution and its gradient, an LSTM, a quantizer,
# an optimiser. In many chapters a cell says `with use("student"):`; what stands under it runs on
# *your* functions. And the last chapter's codec is all yours.
#
# ## How things are written
#
# | | |
# |---|---|
# | `x (B,T,C) -> y (B,To,Co)` | arrays of (batch, time, channels); equal letters, equal lengths |
# | `x (*x) -> y (*x)` | any shape; here y has that of x |
# | `dy`, `dx` | the gradient of some loss with respect to y, x; it has the shape of y, x |
# | `K`, `stride`, `dilation` | of a convolution: number of taps, steps from window to window, from tap to tap |
# | `Q, N, D` | of a quantizer: number of levels, entries of a codebook, width of a vector |
# | kbit/s, kbps | thousands of bits per second; dB are explained in chapter 1 |
# | [Defossez22, §3.2] | a paper and its section; `bibliography.md` lists them |
#
# ## Exercises
#
# 1. `bitrate`: bits in a frame, frames in a second.
#
# To think about: 6 kbit/s are a quarter of a bit for each sample. How can one send a quarter of a
# bit? What do you know about a voice before you hear it? And about a piece of music?
#
# ## What the paper says
#
# EnCodec is a "state-of-the-art real-time, high-fidelity, audio codec leveraging neural networks"
# [Defossez22, abstract]. At 24 kHz it sends 1.5 to 24 kbit/s. The diagram shows all of its parts.
#
# ## What to read next
#
# Chapter 1. If you know what a sample, a decibel and a quantiser are, begin with chapter 2.
