# %% [markdown]
# # 4 Down, up, and never into the future
#
# **You will be able to** shorten a signal 320 times and stretch it back, say what is lost and what
# is added on the way (aliases, and a whine), and prove that a network does not look into the
# future.
#
# **Before you start**: chapter 3 (convolution and its adjoint).
#
# **Reading time**: 30 minutes, and as much for the exercises. The cells take a few seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(4)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio
from minicodec.backend import OPS, use
from minicodec.codec.seanet import Encoder, SEANetConfig
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source, spectrogram
from minicodec.files import data_folder
from minicodec.nn.layers import Conv1d, ConvTranspose1d
from minicodec.ops.conv1d import conv1d_backward as conv_backward, conv1d_forward as conv
from minicodec.ops.conv_transpose1d import conv_transpose1d_forward as library_up
from minicodec.tensor import Tensor, grad

yours();
rng = np.random.default_rng(0)

# %% [markdown]
# ## Down: what a stride throws away
#
# A codec sends 75 vectors a second, not 24 000 samples. So its encoder must shorten the signal, 320
# times in all, and it does so in steps of 2, 4, 5 and 8. A convolution with stride 2 computes every
# second answer only.
#
# Computing every second answer is the same as computing all and keeping every second. And keeping
# every second sample of a wave is dangerous: a tone above half of the *new* sample rate does not
# vanish, it comes back as another, lower tone. Listen to a tone that rises from 0 to 12 kHz.

# %%
rate = 24_000
t = np.arange(2 * rate) / rate
rising = 0.3 * np.sin(2 * np.pi * 3_000 * t**2)  # its frequency is 6000 t: from 0 to 12 kHz
halved = rising[::2]
lowpass = np.sinc(np.arange(-32, 33) / 2) / 2 * np.hanning(65)
smoothed = conv(rising[None, :, None], lowpass[:, None, None], stride=2)[0][0, :, 0]

axes = panels(3, 3)
spectrogram(axes[0], rising, rate, "the tone")
spectrogram(axes[1], halved, rate // 2, "every second sample", window=512)
spectrogram(axes[2], smoothed, rate // 2, "a strided convolution", window=512)
for one in axes[1:]:
    one.set_ylabel("")
plt.show()
play(rising, rate, "the tone")
play(halved, rate // 2, "every second sample: above 6 kHz it comes down again (an alias)")
play(smoothed, rate // 2, "convolved with a low-pass first, in the same strided convolution")

# %% [markdown]
# The kernel on the right looks at 65 samples and is loud only for slow waves, so what would fold
# over is gone before every second answer is dropped: one operator does both. A codec's kernels are
# learned. They have K = 2·stride taps, enough to do so roughly, and many channels, so that what one
# of them folds another can keep.
#
# ## Up: every frame paints a window
#
# The decoder needs the opposite: `stride` frames out of one. A **transposed** convolution turns the
# picture of chapter 3 around. There, a window reads K frames and writes one. Here, one frame is
# read and paints K frames, and where the painted windows overlap, they add:
#
# $$ y_{b,\,ts+k,\,o} \;\mathrel{+}=\; \sum_i x_{b,t,i}\, w_{k,i,o} $$
#
# Here are four frames of one number each, $x = (1, 2, -1, 1.5)$, with K = 4 and stride 2. Every
# frame paints its window; where two windows overlap, they are added.

# %%
frames, kernel = [1.0, 2.0, -1.0, 1.5], np.array([0.3, 1.0, 0.8, 0.2])
axes, total = panels(height=2.6), np.zeros(10)
for t, value in enumerate(frames):
    places = np.arange(2 * t, 2 * t + 4)
    axes.bar(
        places,
        value * kernel,
        bottom=np.where(total[places] * value > 0, total[places], 0),
        width=0.9,
        alpha=0.7,
        label=f"frame {t}: {value:g}",
    )
    total[places] += value * kernel
axes.step(
    np.arange(-0.5, 10.5), np.append(total, total[-1]), "k", where="post", lw=1, label="their sum"
)
axes.set(xlabel="output frame", xticks=range(10), ylim=(-1, 3.2),
         title="Four windows of four frames, two apart")
axes.legend(ncols=5, fontsize=8, loc="upper center")
plt.show()

# %% [markdown]
# ### Exercise 1

# %%
@exercise
def conv_transpose1d_forward(x, w, *, stride=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - 1)·stride + K."""
    raise NotImplementedError


check(conv_transpose1d_forward)

# %% [markdown]
# You have met this operator before: it is where `dx` came from. Painting $dy_t\,w_k^\mathsf{T}$
# onto frame $ts + k$ is just what conv1d's backward does. So one's backward is the other's forward,
# and nothing is left to derive. If conv1d multiplies by a matrix $A$, this one multiplies by
# $A^\mathsf{T}$: that is why it is called transposed. (It does **not** undo a convolution: that
# would be $A^{-1}$.)

# %%
x, w = rng.normal(size=(2, 6, 3)), rng.normal(size=(4, 3, 5))
painted = conv_transpose1d_forward(x, w, stride=2)
signal = np.zeros(
    (2, 14, 5)
)  # conv1d's backward needs to know only the shape of what it sends back to
np.testing.assert_allclose(painted, conv_backward(x, (signal, w.swapaxes(1, 2)), stride=2)[0])

# %% [markdown]
# ## The whine
#
# Feed it a constant, the most boring of all signals, and the result should be a constant. But frame
# $ts + r$ is painted with the taps $r,\ r + s,\ r + 2s, \ldots$ only: each *phase* $r$ has taps of
# its own. Unless their sums agree, a constant becomes a pattern that repeats every `stride`
# samples. At 24 kHz and stride 8, that is a tone of 3 kHz: the whine of many young decoders.

# %%
stride, seconds = 8, 1
slow = 0.3 + 0.2 * np.sin(
    2 * np.pi * 3 * np.arange(rate * seconds // stride) * stride / rate
)  # a 3 Hz wave
kernels = {
    "random taps, K = 16": rng.normal(size=16) / 4,
    "random taps, sums of phases made equal": None,
    "a triangle, K = 15 (linear interpolation)": np.bartlett(17)[1:-1],
}
free = kernels["random taps, K = 16"].reshape(2, 8)
kernels["random taps, sums of phases made equal"] = (free - (free.sum(axis=0) - 1) / 2).ravel()

axes = panels(height=3.5)
whines = {}
for name, kernel in kernels.items():
    up = library_up(slow[None, :, None], kernel[:, None, None], stride=stride)[0][0, :rate, 0]
    spectrum = np.abs(np.fft.rfft(up * np.hanning(rate)))[: rate // 2] / rate * 4
    peaks = spectrum.reshape(-1, 48).max(axis=1)  # of 48 Hz each: lines of 1 Hz would not be seen
    axes.semilogy(np.arange(len(peaks)) * 0.048, peaks + 1e-9, lw=1, label=name)
    whines[name] = spectrum[2_950:3_050].max()
    if name != list(kernels)[1]:
        play(0.5 * up / np.abs(up).max(), rate, name)
axes.set(
    xlabel="frequency / kHz",
    ylabel="amplitude",
    title="A 3 Hz wave, stretched 8 times: tones at 3, 6, 9 kHz",
)
axes.set_ylim(1e-9, 1e3)
axes.legend(loc="upper center", ncols=3, fontsize=8)
plt.show()
print({name: f"{20 * np.log10(level):.0f} dB at 3 kHz" for name, level in whines.items()})
assert whines["random taps, K = 16"] > 20 * whines["a triangle, K = 15 (linear interpolation)"]

# %% [markdown]
# With equal sums the constant passes unharmed; what remains comes from the wave's slope. Training
# has to find such kernels by itself, and mostly does. K = 2·stride helps: every phase gets the same
# number of taps. With K = 12 and stride 8, some phases would have two taps and some one, and even
# equal taps would whine.
#
# ## Never into the future
#
# A window of K frames must end somewhere. If it ends at "now", the layer is **causal**: what it
# says about now can be computed now, and a call does not have to wait. If half the window lies
# after "now", each layer adds latency.
#
# Where a window lies is decided by padding alone. Without padding the first window needs K frames,
# and the output is shorter than the input. We want `ceil(T / stride)` outputs, one for each
# (started) stride of input:
#
# ```
#     K = 4, stride 2, T = 5:      0 0 x x x x x 0
#                                  └──┬──┘         output 0 may see x0 x1: its own stride
#                                      └──┬──┘     output 1: x0 ... x3
#                                          └──┬──┘ output 2: x2 x3 x4, and a zero to fill it
# ```
#
# ### Exercise 2
#
# How many frames of padding, left and right?

# %%
@exercise
def causal_padding(K, stride, dilation, T):
    """K, stride, dilation, T (numbers) -> pad (2): frames to add on the left and on the right of T
    frames.

    The output must have ceil(T / stride) frames; output t may look at frames before (t + 1)·stride
    only. Frames on the right do nothing but fill the last window. Return np.array([left, right]).
    """
    raise NotImplementedError


check(causal_padding)

# %%
for K, stride, dilation, T in [(7, 1, 1, 20), (4, 2, 1, 5), (3, 1, 4, 10), (16, 8, 1, 321)]:
    layer = Conv1d(1, 1, K, stride=stride, dilation=dilation, rng=rng)
    assert tuple(causal_padding(K, stride, dilation, T)) == layer.padding(T)

# %% [markdown]
# A transposed convolution looks at the past by itself: frame $t$ paints frames $ts$ and later. Only
# the surplus at the end, K − stride frames that paint beyond the last stride, must be cut off. Is
# all this true? Change the future, and look at whether the past changes.

# %%
down, up = Conv1d(1, 8, 8, stride=4, rng=rng), ConvTranspose1d(8, 1, 8, stride=4, rng=rng)
before = rng.normal(size=(1, 200, 1)).astype(np.float32)
after = before.copy()
after[:, 120:] = rng.normal(size=(1, 80, 1))
difference = np.abs(up(down(Tensor(before))).data - up(down(Tensor(after))).data)[0, :, 0]
axes = panels(height=2.2)
axes.plot(difference)
axes.axvline(120, color="C1", label="from here on, the inputs differ")
axes.set(xlabel="time / samples", ylabel="change of the output")
axes.legend()
plt.show()
assert difference[:120].max() == 0 < difference[120:].max()

# %% [markdown]
# ## How far does it see?
#
# One latent vector of EnCodec stands for 320 samples, but it has seen more of the past than that.
# How much, follows from the layers: tap 1 of the first layer is one sample after tap 0. After a
# stride of 2, one step is two samples; after strides of 2 and 4, eight.
#
# ### Exercise 3

# %%
@exercise
def receptive_field(layers):
    """layers (a list of (K, stride, dilation), first layer first) -> n: input samples that one
    output can see."""
    raise NotImplementedError


check(receptive_field)

# %% [markdown]
# There is a way to *see* it: the gradient of one output with respect to the input is zero where the
# output cannot look. The encoder of EnCodec, without its LSTM (which remembers everything), in the
# smallest size:

# %%
config = SEANetConfig(filters=4, latent=8, lstm_layers=0)
encoder = Encoder(1, config, rng=rng)
wav = Tensor(rng.normal(size=(1, 320 * 12, 1)).astype(np.float32), requires_grad=True)
latent = encoder(wav)
dy = np.zeros(latent.shape, np.float32)
dy[0, 8] = 1  # the ninth frame
seen = np.flatnonzero(grad(latent, [wav], dy)[0][0, :, 0])

layers = [(7, 1, 1)]
for stride in config.strides:
    layers += [(3, 1, 1), (1, 1, 1), (2 * stride, stride, 1)]
layers.append((7, 1, 1))
print(
    f"frame 8 has seen samples {seen[0]} to {seen[-1]}: {seen[-1] - seen[0] + 1}; by the formula",
    receptive_field(layers),
)
assert seen[-1] == 9 * 320 - 1  # the last sample of its own stride, and no later one
assert seen[-1] - seen[0] + 1 == receptive_field(layers)

axes = panels(height=2.2)
axes.semilogy(np.abs(grad(latent, [wav], dy)[0][0, :, 0]) + 1e-12, lw=0.5)
axes.axvspan(
    8 * 320, 9 * 320, color="C1", alpha=0.3, label="the 320 samples that frame 8 stands for"
)
axes.set(
    ylim=(1e-9, None),
    xlabel="time / samples",
    ylabel="|gradient|",
    title="What one latent frame looks at",
)
axes.legend(loc="upper left")
plt.show()

# %% [markdown]
# ## Decode with your own
#
# Stretch a real sound. First a low-pass, so that nothing folds over; then keep every 4th sample of
# a flute; and let a transposed convolution with the same kernel, yours if it is right, paint the
# rest.

# %%
flute, _ = audio.read(data_folder() / "music_flute.flac", start=rate, frames=2 * rate)
kernel = (np.sinc(np.arange(-31, 32) / 4) * np.hanning(63)).astype(np.float32)
padded = np.pad(flute, ((0, 0), (31, 31)))[..., None]
with use("student"):
    squeeze, stretch = OPS["conv1d"].pair(flute)[0], OPS["conv_transpose1d"].pair(flute)[0]
    quarter = squeeze(padded, kernel[:, None, None] / 4, stride=4)[0]  # low-pass and stride in one
    stretched = stretch(quarter, kernel[:, None, None], stride=4)[0][0, 31 : 31 + flute.shape[1], 0]
print("painted by", "you" if "student" in OPS["conv_transpose1d"].pairs else "the library")
play(flute[0], rate, "the flute")
play(
    stretched,
    rate,
    "a quarter of the samples, and the rest painted: what was above 3 kHz is missing",
)
low = np.abs(np.fft.rfft(flute[0]))[: 2 * 2_000]
assert np.abs(np.abs(np.fft.rfft(stretched))[: 2 * 2_000] - low).max() < 0.1 * low.max()

# %% [markdown]
# ## Your codec: convolutions of Tensors
#
# `my_codec/conv.py` has your convolution's forward and backward, which know nothing of Tensors. Two operators bring them
# together, both causal. The second one needs no backward of its own: its adjoint is a convolution.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
# `Tensor` is your codec's from here on: to go back up, run the imports at the top again.
from minicodec.course.my_codec.conv import causal_padding, conv1d_backward, conv1d_forward, conv_transpose1d_forward
from minicodec.course.my_codec.tensor import Tensor


# %%
@exercise
def causal_conv1d(x, w, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co), Tensors -> y (B,ceil(T/stride),Co), a Tensor that sees no later input.

    Zeros on the left, and as many on the right as fill the last window: causal_padding says how many.
    """
    raise NotImplementedError


check(causal_conv1d)

# %%
@exercise
def causal_conv_transpose1d(x, w, stride):
    """x (B,T,Ci), w (K,Ci,Co), Tensors -> y (B,T·stride,Co), a Tensor: the last K - stride frames are cut off.

    Its adjoint is a convolution, so conv1d_forward and conv1d_backward, with w's channels swapped, send gradients back.
    """
    raise NotImplementedError


check(causal_conv_transpose1d)

# %% [markdown]
# ## Exercises
#
# 1. `conv_transpose1d_forward`: each frame paints a window.
# 2. `causal_padding`: where a window must end.
# 3. `receptive_field`: how far it sees.
#
# To think about: A network with strides 2, 4, 5 and 8 is causal. How many samples must arrive
# before the first latent vector can be sent? Which layer contributes most to the receptive field
# above? What would happen to the whine with K = stride?
#
# ## What the paper says
#
# Strides 2, 4, 5, 8 in the encoder and reversed in the decoder, kernels of twice the stride
# [Defossez22, §3.1]; for the streamable model all padding stands before the first frame, and the
# latency is one frame of 320 samples, 13 ms [Defossez22, §3.1]. The released weights were trained
# with a mirror image in front instead of zeros, so that their very first frames do depend on later
# samples: `minicodec/ops/padding.py` explains it, chapter 16 deals with it.
#
# ## What to read next
#
# `minicodec/ops/conv_transpose1d.py` and the classes `Conv1d` and `ConvTranspose1d` in
# `minicodec/nn/layers.py`. Then chapter 5: what a convolution cannot do, however long, is remember.
