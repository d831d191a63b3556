# %% [markdown]
# # 16 Streaming and stereo: the sound is still being made
#
# **You will be able to** run a network on a sound that has not ended yet, and get the very bits of
# the whole file; say how long a listener must wait, and for what; and join chunks that were coded
# apart so that nobody hears where.
#
# **Before you start**: chapters 4 (causal convolutions) and 5 (LSTM).
#
# **Reading time**: 35 minutes, and as much for the exercises. The cells take some ten seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(16)

# %%
import pickle
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F
from minicodec.backend import OPS, use
from minicodec.codec import overlap
from minicodec.codec.config import QuantizerConfig, preset
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import kmeans
from minicodec.codec.seanet import Encoder
from minicodec.codec.streaming.convolution import ConvStage, ConvTransposeStage
from minicodec.course import check, exercise, yours
from minicodec.course.my_codec.conv import conv1d_forward, conv_transpose1d_forward  # x, w -> y
from minicodec.course.show import panels, play, source
from minicodec.files import data_folder
from minicodec.nn.layers import Conv1d, ConvTranspose1d
from minicodec.tensor import Tensor

yours();
rng = np.random.default_rng(0)

# %% [markdown]
# ## The idea: what the past means to the future
#
# In a telephone call nobody can wait for the end of the file. Sound comes in pieces of some
# milliseconds, and codes must leave as soon as they can. Can one simply run the encoder on each
# piece? Try it with the smallest causal network there is, one convolution that smooths: each output
# is the mean of the last 25 inputs.

# %%
wav, _ = audio.read(data_folder() / "speech_en_3.flac")
loudest = np.abs(wav[0]).argmax()
sound = wav[0, loudest - 240 : loudest + 240, None].astype(np.float64)  # 20 ms, (T,1)
smooth = np.full((25, 1, 1), 1 / 25)


def causal(x, w):
    """x (T,Ci) -> y (T,Co), with zeros before the beginning, as in chapter 4."""
    return conv1d_forward(np.concatenate([np.zeros((len(w) - 1, x.shape[1])), x])[None], w)[0]


whole = causal(sound, smooth)
pieces = np.concatenate([causal(sound[t : t + 120], smooth) for t in range(0, 480, 120)])
axes = panels(height=3)
milliseconds = np.arange(480) / 24
axes.plot(milliseconds, whole, lw=5, color="lightgrey", label="all at once")
axes.plot(milliseconds, pieces, label="in four pieces, each from nothing")
for seam in (5, 10, 15):
    axes.axvline(seam, color="red", lw=0.6)
axes.set(
    xlabel="time / ms",
    ylabel="amplitude",
    title="At every seam the network has forgotten what came before",
)
axes.legend()
plt.show()
wrong = np.flatnonzero(np.abs(whole - pieces)[:, 0] > 1e-12)
assert set(wrong) <= {seam + k for seam in (120, 240, 360) for k in range(24)}

# %% [markdown]
# Only 24 samples after each seam are wrong: their windows reach back over the seam, and found zeros
# there. So the cure is small: keep the last 24 inputs, and put them in front of the next piece.
# That is the **state** of this layer: all that the past means to its future. It does not grow with
# the length of the call.
#
# A layer for streams is a function of two things that gives two things,
#
# $$ (y,\; s') = f(x,\; s), $$
#
# and a network of such layers is one too; its state is the tuple of its layers' states. An LSTM is
# a stream already: its state is $h$ and $c$ (chapter 5). Convolutions need a little thought.
#
# ### A convolution's state
#
# With stride $s$, the windows begin at frames $0, s, 2s, \ldots$ of what is there: the frames kept
# (`before`), then the new ones. If there are $F$ frames, the number of full windows is $\lfloor (F
# - (K-1)d - 1)/s \rfloor + 1$ (chapter 3), or none. The next window begins at frame $\text{count}
# \cdot s$: from there on all must be kept, and nothing before it will be looked at again. How many
# frames that are depends on how the pieces were cut; it is not always $K - 1$.
#
# The padding in front of the signal needs no rule of its own: it is the first state, $(K-1)d + 1 -
# s$ zeros.
#
# ### Exercise 1

# %%
@exercise
def conv_stream(x, before, w, stride=1, dilation=1):
    """x (n,Ci), before (m,Ci), w (K,Ci,Co) -> y (count,Co), before (m2,Ci): one piece further.

    before: the frames that windows to come still need, from the start of the next window on.
    y: the answers of all windows that are full now, perhaps none: then its shape is (0,Co).
    Windows begin `stride` frames apart and are at least that long.
    """
    raise NotImplementedError


check(conv_stream)

# %%
def cut(x, rng):
    """A signal (T,C) in pieces of random lengths, empty ones too."""
    at = np.sort(rng.integers(0, len(x) + 1, 6))
    return np.split(x, at)


# Cut as you like: always the whole's answers, and the library's stage agrees, state and all.
layer = Conv1d(2, 3, 6, stride=3, rng=rng)
layer.bias.data[...] = 0
w = layer.effective_weight().data.astype(np.float64)
x = rng.normal(size=(30, 2))
whole = conv1d_forward(np.concatenate([np.zeros((3, 2)), x])[None], w, stride=3)[0]
for _ in range(20):
    before, out, stage = np.zeros((3, 2)), [], ConvStage(layer, None)
    state = stage.start()
    for piece in cut(x, rng):
        y, before = conv_stream(piece, before, w, stride=3)
        y_library, state = stage(piece[None].astype(np.float32), state, False)
        out.append(y)
        np.testing.assert_allclose(y_library[0], y, atol=1e-5)
        np.testing.assert_allclose(state[0][0], before, atol=1e-6)
    np.testing.assert_allclose(np.concatenate(out), whole, atol=1e-12)

# %% [markdown]
# ### A transposed convolution's state
#
# In the decoder, one input frame writes $K$ output frames, and the windows overlap (chapter 4).
# Output frame $ts + k$ gets mail from input $t$; the newest input that can write to frame $\tau$ is
# $t = \lfloor \tau/s \rfloor$. So after $n$ inputs the first $n s$ outputs are done, and $K - s$
# more have been begun: inputs to come will add to them. These unfinished sums, the **tail**, are
# the state.
#
# (The library keeps the last *inputs* instead, and adds each output in one go. Why? If the tail is
# added up piece by piece, the order of a sum depends on where the cuts were, and with it its last
# bit: chapter 15 tells what that can do.)
#
# ### Exercise 2

# %%
@exercise
def conv_transpose_stream(x, tail, w, stride):
    """x (n,Ci), tail (K-stride,Co), w (K,Ci,Co) -> y (n*stride,Co), tail (K-stride,Co).

    Input frame t adds x[t] @ w[k] to the output frame t·stride + k.
    y: the output frames to which nothing will be added any more.
    tail: those that later frames will add to, with what they have got so far.
    K is at least the stride. n may be 0.
    """
    raise NotImplementedError


check(conv_transpose_stream)

# %%
layer = ConvTranspose1d(2, 3, 7, stride=3, rng=rng)
layer.bias.data[...] = 0
w = layer.effective_weight().data.astype(np.float64)
stage = ConvTransposeStage(layer)
tail, state, out = np.zeros((4, 3)), stage.start(), []
for piece in (x[:1], x[1:9], x[9:9], x[9:]):
    y, tail = conv_transpose_stream(piece, tail, w, 3)
    y_library, state = stage(piece[None].astype(np.float32), state, False)
    np.testing.assert_allclose(y_library[0], y, atol=1e-5)
    out.append(y)
everything = conv_transpose1d_forward(x[None], w, stride=3)[0]
np.testing.assert_allclose(np.concatenate([*out, tail]), everything, atol=1e-12)

# %% [markdown]
# ## The whole codec as a stream
#
# Encoder, quantizer and decoder are now chains of such functions. `Codec.stream_encoder` takes
# samples and gives the codes that are due; any cut gives the same codes, to the bit. (The codec
# here is an untrained small one, with codebooks from k-means so that its codes say something:
# chapter 14 does the same.)

# %%
def small(pad_mode):
    """An untrained causal codec, 24 kHz, with four codebooks of 64 entries."""
    config = preset("tiny_24khz")
    seanet = replace(config.seanet, pad_mode=pad_mode)
    codec = Codec(
        replace(config, seanet=seanet, quantizer=QuantizerConfig(4, 64), bandwidths=(1.8,))
    )
    residual = codec.encoder(wav.T[None].copy()).data[0]
    for codebook in codec.quantizer.codebooks:
        codebook[...] = kmeans(residual, 64, 10, np.random.default_rng(0))[0]
        residual = residual - codebook[F.nearest_codeword(residual, codebook)]
    return codec


codec = small("zero")
codes = codec.encode(wav)[0].codes
assert all(len(np.unique(level)) > 30 for level in codes)
for _ in range(5):
    encoder = codec.stream_encoder()
    found = [encoder.push(piece.T) for piece in cut(wav.T, rng)] + [encoder.flush()]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), codes)
print(f"{codes.shape[1]} frames, the same codes in five random cuts")

# %% [markdown]
# Because the state is a value, one can do with it what one does with values: keep it, go back to it
# (a packet was lost, try again), or send it to another machine and go on there.

# %%
encoder = codec.stream_encoder()
encoder.push(wav[:, :50_000])
bookmark = pickle.dumps(encoder.state)
once = encoder.push(wav[:, 50_000:60_000])
elsewhere = codec.stream_encoder()
elsewhere.state = pickle.loads(bookmark)
np.testing.assert_array_equal(elsewhere.push(wav[:, 50_000:60_000]), once)
print(f"after 2 s of sound the state takes {len(bookmark) / 1024:.0f} KiB")
encoder = codec.stream_encoder()
encoder.push(wav[:, :200_000])
assert abs(len(pickle.dumps(encoder.state)) - len(bookmark)) < 2000  # after 8 s it is no larger

# %% [markdown]
# ## How long must one wait?
#
# Three things make a listener wait. A frame can be coded only when its last sample is there: 320
# samples, 13.3 ms. A network may want to *look ahead*. And computing takes time. The first two are
# counted in samples, are the same on every machine, and are what papers call latency.
#
# A causal network looks nowhere ahead, with one exception in the released model. It pads with
# *reflection*: what stands before the beginning is the mirror image of what comes after it. The
# latent's last convolution has $K = 7$, so its first window mirrors frames 1 to 6, which are 80 ms
# away. Push frames of 320 samples, and count what comes out of encoder and decoder together:

# %%
def samples_out(codec):
    """How many samples the decoder has given when each 320 samples have gone in."""
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    out = [
        decoder.push(encoder.push(wav[:, t : t + 320])).shape[1] for t in range(0, 320 * 160, 320)
    ]
    return np.cumsum(out)


zero, reflect = samples_out(codec), samples_out(small("reflect"))
pushed = 320 * np.arange(1, 161)
assert np.array_equal(zero, pushed)
mirrored = np.flatnonzero(reflect)[0]
print(f"zeros: {320 / 24:.1f} ms;  reflection: nothing before {pushed[mirrored] / 24:.0f} ms")
assert pushed[mirrored] / 24 > 80

whole_chunks = np.floor((pushed / 24_000 - 1) / 0.99 + 1)  # 1 s long, 0.99 s apart
final = 990 * np.maximum(whole_chunks, 0)  # ms: what the next chunk will not change
axes = panels(2, 3.6)
for axis, until, title in (
    (axes[0], 200, "the first 0.2 s"),
    (axes[1], 2130, "the first two seconds"),
):
    axis.plot(pushed / 24, pushed / 24, color="lightgrey", lw=4, label="no delay at all")
    axis.step(pushed / 24, zero / 24, where="post", label="24 kHz, zeros")
    axis.step(pushed / 24, reflect / 24, where="post", label="24 kHz, reflection")
    axis.step(pushed / 24, final, where="post", label="48 kHz, chunks of 1 s")
    axis.set(
        xlim=(0, until),
        ylim=(-until / 40, until),
        title=title,
        xlabel="sound gone in / ms",
        ylabel="sound come out / ms",
    )
axes[0].legend()
plt.show()

# %% [markdown]
# With zeros the staircase clings to the diagonal. With reflection nothing comes for 93 ms, and then
# all that is due at once: after that there is no difference. (So the player must start 80 ms later,
# and stays late.) The third line is the 48 kHz model, which we come to now.
#
# And the computing? The codec must make a frame in less time than a frame lasts, on average *and*
# in single cases.

# %%
encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
took = []
for t in range(0, 320 * 160, 320):
    begin = time.perf_counter()
    decoder.push(encoder.push(wav[:, t : t + 320]))
    took.append(1000 * (time.perf_counter() - begin))
print(
    f"a frame lasts 13.3 ms; this small codec takes {np.median(took):.2f} ms, "
    f"at worst {max(took):.2f} ms"
)

# %% [markdown]
# ## Why the 48 kHz model does not stream
#
# The stereo model for music sees the future, and gets better by it. Its convolutions are padded on
# both sides, and after each of them the signal is normalised: mean and variance over *all times* of
# the chunk (time group norm). Change a single sample, and look at which latent frames change:

# %%
def encoder_of(name, **changes):
    """An untrained encoder like that of a preset, only narrower; mono."""
    config = replace(preset(name).seanet, filters=4, latent=16, lstm_layers=1, **changes)
    return Encoder(1, config, rng=np.random.default_rng(2))


def change_by_frame(encoder, at):
    """How much each latent frame changes when sample `at` does."""
    x = wav[:, 24_000 : 24_000 + 32_000].T[None].copy()
    other = x.copy()
    other[0, at] += 0.3
    return np.abs(encoder(Tensor(other)).data - encoder(Tensor(x)).data).max(axis=-1)[0]


at = 60 * 320
causal_zero = change_by_frame(encoder_of("encodec_24khz", pad_mode="zero"), at)
norm = change_by_frame(encoder_of("encodec_48khz"), at)
axes = panels(height=3.3)
axes.semilogy(np.maximum(norm, 1e-9), ".-", label="48 kHz: padding on both sides, group norm")
axes.semilogy(np.maximum(causal_zero, 1e-9), ".-", label="24 kHz: causal, zeros")
axes.axvline(60, color="red", lw=0.8, label="the sample that was changed")
axes.set(
    xlabel="latent frame", ylabel="largest change (none: 1e-9)", title="Who hears of one sample?"
)
axes.legend()
plt.show()
assert not causal_zero[:60].any()
assert norm[:60].all()
mirror = change_by_frame(encoder_of("encodec_24khz", pad_mode="reflect"), 4 * 320)
assert mirror[0] > 0  # with reflection, frame 4 reaches frame 0: a look into the future

# %% [markdown]
# The causal network does not know before frame 60. In the other one *every* frame knows, those of
# the past included: not much, but a stream would have to wait for the end. So the signal is cut
# into chunks of 1 s, each coded by itself. To have the first word of a conversation one waits a
# second; for music that is stored, nobody minds.
#
# ### Joining chunks
#
# Two chunks were coded apart, so each has its own error. Put side by side, the sound jumps from one
# error to the other: a click, once a second. So chunks overlap, by 1 % here, and where they do, one
# fades into the other. Give each sample of a chunk a weight, which rises from the edge: at the edge
# the neighbour decides. With weights $v_i(t)$ of chunk $i$ at time $t$,
#
# $$ y(t) = \frac{\sum_i v_i(t)\, y_i(t)}{\sum_i v_i(t)}. $$
#
# Divided by their sum, the weights add up to 1 everywhere (a *partition of unity*): if both chunks
# were perfect, nothing would be changed. The released model takes a triangle over the whole second.
# Only its ends matter, since in the middle a chunk is alone, and the division makes any weight of
# it 1.
#
# ### Exercise 3

# %%
@exercise
def overlap_add(chunks, stride):
    """List of chunks (C,n), stride -> wav (C,T): chunk i begins at i·stride; a weighted mean of
    all.

    Let n0 be the length of the first chunk. Sample i of any chunk has the weight
    min(i + 1, n0 - i): it rises from the edges to the middle of a whole chunk. (Chunks at the end
    may be shorter; they have the first weights of the same triangle.) wav is the sum of
    weight · sample, divided by the sum of the weights. It ends where the last sample lies.
    """
    raise NotImplementedError


check(overlap_add)

# %% [markdown]
# Compare with `source(overlap.overlap_add)`, which gives out what is finished as it goes: it
# streams, too.
#
# To hear seams we need a codec whose chunks err differently. Here is a brutal one: of the spectrum
# of each chunk, keep the 100 strongest frequencies. Listen for the clicks, at every second; then to
# the same chunks with overlap.

# %%
song, rate = audio.read(data_folder() / "music_song_44k_stereo.flac")
song = audio.resample(song, rate, 48_000)[:, 96_000 : 96_000 + 3 * 47_520]
layout = preset("encodec_48khz").layout
starts = range(0, song.shape[1], layout.chunk_stride)
assert layout.chunk_stride == 47_520


def strongest(chunk, keep=100):
    """A chunk (C,n), from its `keep` strongest frequencies alone."""
    spectrum = np.fft.rfft(chunk)
    threshold = np.sort(np.abs(spectrum), axis=1)[:, -keep, None]
    return np.fft.irfft(np.where(np.abs(spectrum) >= threshold, spectrum, 0), chunk.shape[1])


hard = np.concatenate([strongest(song[:, t : t + layout.chunk_stride]) for t in starts], axis=1)
soft = overlap_add(
    [strongest(song[:, t : t + layout.chunk_samples]) for t in starts], layout.chunk_stride
)
perfect = [song[:, t : t + layout.chunk_samples] for t in starts]  # perfect chunks: no change
np.testing.assert_allclose(overlap_add(perfect, layout.chunk_stride), song, atol=1e-5)
play(hard, 48_000, "side by side")
play(soft, 48_000, "overlapped by 10 ms")

seam = layout.chunk_stride
around = slice(seam - 144, seam + 624)
jump = [np.abs(np.diff(y[0, seam - 2 : seam + 2])).max() for y in (hard, soft)]
figure, axes = plt.subplots(2, 1, figsize=(9, 4), sharex=True)
for axis, y, title in zip(axes, (hard, soft), ("side by side", "overlapped"), strict=True):
    axis.plot(np.arange(-144, 624) / 48, song[0, around], color="lightgrey", lw=3, label="original")
    axis.plot(np.arange(-144, 624) / 48, y[0, around], lw=1, label=title)
    axis.axvline(0, color="red", lw=0.6)
    axis.set(ylabel="left channel")
    axis.legend(loc="upper right")
axes[1].axvspan(0, 10, color="red", alpha=0.08)
axes[1].set(xlabel="time from the start of the second chunk / ms")
plt.show()
print(f"the largest step at the seam: {jump[0]:.3f} side by side, {jump[1]:.3f} overlapped")
assert jump[1] < 0.5 * jump[0]

# %% [markdown]
# ### Loud and quiet
#
# Music has loud and quiet seconds, and a network would like all to be alike. So each chunk is
# divided by its level, and the level is sent along: one float of 32 bits a second, which is next to
# nothing. Left and right are divided by the *same* number, else a singer on the left would move to
# the middle. The level is that of the mono mix.
#
# ### Exercise 4

# %%
@exercise
def normalised(wav):
    """wav (C,T) -> wav (C,T), scale: the chunk divided by its scale, and the scale.

    scale: the root of the mean square of the mono mix (the mean of the channels), plus 1e-8.
    """
    raise NotImplementedError


check(normalised)

# %%
config = preset("encodec_48khz")
narrow = replace(config.seanet, filters=4, latent=16, lstm_layers=1)
stereo = Codec(
    replace(config, seanet=narrow)
)  # untrained, narrow and fast; its files have the right size
coded = stereo.encode(song, kbps=3)
for t, chunk in zip(starts, coded, strict=True):
    np.testing.assert_allclose(
        chunk.scale, normalised(song[:, t : t + layout.chunk_samples])[1], rtol=1e-5
    )
quiet = stereo.encode(song / 64, kbps=3)
same = np.mean([np.mean(a.codes == b.codes) for a, b in zip(coded, quiet, strict=True)])
print("scales:", [f"{chunk.scale:.4f}" for chunk in coded])
print(f"64 times quieter: {same:.1%} of the codes are the same, the scales are 64 times smaller")
assert same > 0.99

packet = stereo.compress(song, kbps=3)
seconds = song.shape[1] / 48_000
expected = sum(4 + -(-layout.frames(min(48_000, song.shape[1] - t)) * 2 * 10 // 8) for t in starts)
assert expected == layout.payload_bytes(song.shape[1], 2)
print(
    f"{len(packet)} bytes, {expected} of them chunks: "
    f"{expected * 8 / seconds / 1000:.3f} kbit/s, not 3.000"
)
assert len(packet) > expected

# %% [markdown]
# "3 kbps" is 150 frames of 2 codes of 10 bits. The overlap adds 1 %, the scales 32 bits a second.
# It is little; but a table that compares codecs should say what it counted.
#
# The mono mix has a trap. Let the right channel be the left one with its sign turned, as badly
# wired microphones do: the mix is silent, the scale is 1e-8, and the network is given a signal of a
# hundred million.

# %%
turned = np.stack([song[0], -song[0]])[:, :48_000]
amplified, scale = normalised(turned.astype(np.float64))
print(f"scale {scale:.1e}: the loudest sample becomes {np.abs(amplified).max():.1e}")
assert np.abs(amplified).max() > 1e6

# %% [markdown]
# That is how the format is defined, so the library does the same. (The mean of the channels'
# squares would be safe.)
#
# ## A stream on your own code
#
# Two layers of an encoder and two of a decoder, cut at random, run by your `conv_stream` and
# `conv_transpose_stream`. And the small codec itself runs on your `conv1d_forward` of chapter 3, if
# it is there.

# %%
sizes = [(1, 4, 4, 2), (4, 8, 6, 3)]  # Ci, Co, K, stride
down = [rng.normal(size=(K, Ci, Co)) / np.sqrt(K * Ci) for Ci, Co, K, _ in sizes]
up = [rng.normal(size=(K, Co, Ci)) / np.sqrt(2 * Co) for Ci, Co, K, _ in reversed(sizes)]
strides = [stride for *_, stride in sizes]


def run(pieces):
    """All that comes out of the four layers when these pieces (n,1) go in."""
    before = [np.zeros((len(down[i]) - strides[i], down[i].shape[1])) for i in (0, 1)]
    tails = [np.zeros((len(up[i]) - strides[1 - i], up[i].shape[2])) for i in (0, 1)]
    for x in pieces:
        for i in (0, 1):
            x, before[i] = conv_stream(x, before[i], down[i], stride=strides[i])
            x = np.tanh(x)
        for i in (0, 1):
            x, tails[i] = conv_transpose_stream(x, tails[i], up[i], strides[1 - i])
        yield x


signal = wav[0, 24_000:30_000, None].astype(np.float64)
at_once = np.concatenate(list(run([signal])))
in_pieces = np.concatenate(list(run(cut(signal, rng))))
np.testing.assert_allclose(in_pieces, at_once, atol=1e-12)

short = wav[:, 12_000:24_000]
yours_too = "student" in OPS["conv1d"].pairs
with use("student" if yours_too else "numba"):
    encoder = codec.stream_encoder()
    mine = [encoder.push(short[:, t : t + 960]) for t in range(0, 12_000, 960)] + [encoder.flush()]
mine = np.concatenate(mine, axis=1)
agree = np.mean(mine == codec.encode(short)[0].codes)
print(f"{len(at_once)} samples, at once or in pieces. The codec, with",
      f"{'your' if yours_too else 'the library’s'} convolution: {agree:.0%} of the codes as before")
assert agree > 0.9  # another order of sums may move a latent over an edge

# %% [markdown]
# ## Your codec: your codec as a stream
#
# One class for all layers: what it keeps between two pieces is its state.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
# `Tensor` is your codec's from here on: to go back up, run the imports at the top again.
from minicodec.course.my_codec.conv import Conv1d, ConvTranspose1d, weight_norm
from minicodec.course.my_codec.lstm import LSTM, lstm_step
from minicodec.course.my_codec.quantizer import residual_decode, residual_encode
from minicodec.course.my_codec.seanet import ResidualUnit
from minicodec.course.my_codec.stream import conv_stream, conv_transpose_stream
from minicodec.course.my_codec.tensor import Tensor


# %%
@exercise
def lstm_stream(x, state, layers):
    """x (n,H), state (a list of (h, c), (1,H) each), layers -> y (n,H), state: a stack of layers, with its skip.

    lstm_step moves each layer by a frame, with its weight_ih, weight_hh and bias.
    """
    raise NotImplementedError


check(lstm_stream)

# %%
@exercise
class Stage:
    """A layer (elu, Conv1d, ConvTranspose1d, ResidualUnit or LSTM) that takes a sound in pieces.

    state: of a Conv1d, frames (m,Ci) for conv_stream, zeros at first, as many as causal_padding has on the left; of a
    ConvTranspose1d, the tail for conv_transpose_stream, zeros at first; of an LSTM, for lstm_stream, zeros at first; of
    a ResidualUnit, Stages of its block.
    """

    def __init__(self, layer):
        raise NotImplementedError

    def __call__(self, x, last):
        """x (n,Ci) -> y (m,Co), what is known now. last: no more comes; a Conv1d fills its last window with zeros."""
        raise NotImplementedError


check(Stage)

# %%
@exercise
class StreamEncoder:
    """Samples in, codes of the first Q levels out."""

    def __init__(self, codec, Q):
        raise NotImplementedError

    def push(self, wav, last=False):
        """wav (n) -> codes (Q,frames) that are known now. last: no more comes."""
        raise NotImplementedError


check(StreamEncoder)

# %%
@exercise
class StreamDecoder:
    """Codes in, samples out."""

    def __init__(self, codec):
        raise NotImplementedError

    def push(self, codes):
        """codes (Q,frames) -> wav (frames·hop)."""
        raise NotImplementedError


check(StreamDecoder)

# %% [markdown]
# ## Exercises
#
# 1. `conv_stream`: what a window still needs.
# 2. `conv_transpose_stream`: what is not finished yet.
# 3. `overlap_add`: seams that nobody hears.
# 4. `normalised`: one level for both ears.
#
# To think about: What is the state of a residual unit, whose shortcut is faster than its
# convolutions? A packet of codes is lost on the way: how long does the decoder's state remember
# that, in a convolution, and in an LSTM? Why would an overlap of half a second sound no better, and
# cost more?
#
# ## What the paper says
#
# The streamable model is padded on the left alone, and gives 320 samples as soon as 320 have come:
# 13 ms at 24 kHz. The other one splits its input into chunks of 1 s with an overlap of 10 ms,
# normalises each chunk and sends its scale [Defossez22, §3.1]. For transposed convolutions it keeps
# the outputs that are not finished, as in exercise 2. The norm of the stereo model takes its
# statistics over time too; the streamable model has weight norm, which needs none. The stereo
# model's latency is thus 1 s. In the listening tests 48 kHz stereo at 6 kbps scores as MP3 at 64
# does, 82.9 and 82.7 [Defossez22, §4].
#
# ## What to read next
#
# `minicodec/codec/streaming/` (each layer as a function of input and state) and
# `minicodec/codec/overlap.py`. `minicodec stream` does it with live audio on standard input. Then
# chapter 17: how a frame is computed in a fraction of a millisecond.
