# %% [markdown]
# # 13 Train the codec
#
# **You will be able to** draw batches that can be drawn again, write Adam, put one training step
# together and know why its parts are in that order, find out what a loss is for by leaving it out,
# and stop a training and go on without a trace.
#
# **Before you start**: chapters 6 to 8. For the last exercises, those that put the whole training
# together, 10 to 12 as well.
#
# **Reading time**: 40 minutes, 45 for the first three exercises, and an hour and a half for the last
# five. The cells take about half a minute.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(13)

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio, functional as F, tensor
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source, spectrogram
from minicodec.files import data_folder
from minicodec.metrics import mel_distance, si_sdr
from minicodec.nn import optim
from minicodec.training import checkpoint, config, trainer
from minicodec.training.validation import validate

yours();
rng = np.random.default_rng(0)

# %% [markdown]
# ## The idea: nothing but a loop
#
# All parts are there: an encoder, a quantizer, a decoder (chapters 6 to 8), and losses that say how
# far the result is from the sound (chapter 10). Training is a loop around them:
#
# 1. draw a batch of short excerpts,
# 2. code and decode them, and compute the losses,
# 3. compute the gradient of the losses with respect to all weights,
# 4. move each weight a little against its gradient.
#
# A real training does that for days, so it must survive a power cut, and somebody will want to know
# in half a year why it went wrong in step 40 000. Both ask for the same property: **what happens in
# step n must depend on nothing but the state before it, and n.**
#
# ## Batches that can be drawn again
#
# A random generator that runs along with the training is part of its state: lose it, and no step
# can be repeated. There is a simpler way. Make a *new* generator for each step, with the seed and
# the number of the step in its seed: `[seed, step]`. Batch 40 000 is then a function of two
# integers. (Not `seed + step`: then runs with seeds 0 and 1 would see the same batches, one step
# apart.)
#
# ### Exercise 1

# %%
@exercise
def crops(wav, seed, step, size, length):
    """wav (T) -> x (size,length,1): the batch of a step, crops that start at random places of wav.

    The places are np.random.default_rng([seed, step]).integers(n, size=size), in this order, where
    n is the number of places at which a whole crop can start.
    """
    raise NotImplementedError


check(crops)

# %% [markdown]
# The library's `AudioFolder.batch(step, size)` does the same with a folder of files. For this
# chapter, sound at 8 kHz, as on the telephone, makes everything three times faster.

# %%
recording, rate = audio.read(data_folder() / "speech_en_1.flac")
wav = audio.resample(recording, rate, 8_000)[0].astype(np.float32)
batch = crops(wav, 0, 0, 4, 2_400)  # 4 crops of 0.3 s
np.testing.assert_array_equal(batch, crops(wav, 0, 0, 4, 2_400))
assert not np.array_equal(batch, crops(wav, 0, 1, 4, 2_400))
print("one batch (B,T,C):", batch.shape)

# %% [markdown]
# ## Adam: the same step for everyone
#
# Plain gradient descent moves each weight by its gradient times one number, the learning rate. But
# gradients of different weights differ by factors of thousands. A rate that suits the steep
# directions is far too small for the flat ones.
#
# Adam measures each weight's own gradient. It keeps two moving averages: of the gradient ($m$),
# which smooths what is random from batch to batch, and of its square ($v$), whose root is the
# gradient's usual size. It steps by their ratio:
#
# $$ m \leftarrow \beta_1 m + (1-\beta_1)\,g, \qquad
#    v \leftarrow \beta_2 v + (1-\beta_2)\,g^2, \qquad
#    p \leftarrow p - \text{lr}\;\frac{\hat m}{\sqrt{\hat v} + \epsilon} $$
#
# If all gradients were 1000 times as large, $m$ and $\sqrt v$ would be, too, and the step would be
# the same: about lr.
#
# What are the hats? $m$ and $v$ begin at 0, so at first they are too small. How much too small can be
# computed. Suppose that $g$ is the same in every step. Then $m$ is $(1-\beta_1)\,g$ after one step,
# and after $t$ steps $(1-\beta_1)(1 + \beta_1 + \ldots + \beta_1^{t-1})\,g = (1 - \beta_1^t)\,g$. So
# divide by that factor: $\hat m = m / (1 - \beta_1^t)$, $\hat v = v / (1 - \beta_2^t)$. (Here $t$ is
# an exponent: $\beta_1$ to the power of $t$.)
#
# ### Exercise 2

# %%
@exercise
def adam_step(p, g, m, v, t, lr, beta1, beta2):
    """p (*p), g (*p), m (*p), v (*p) -> p (*p), m (*p), v (*p), after step number t = 1, 2, 3, ...
    of Adam.

    p: the weights; g: their gradient; m, v: the averages as they are kept, without hats, 0 before
    step 1. Return new arrays, do not change these. eps = 1e-8 is added to the root, not under it.
    """
    raise NotImplementedError


check(adam_step)

# %% [markdown]
# Afterwards: `source(optim.Adam)`. Here are both in a narrow valley, forty times as steep across as along
# it.

# %%
def slope(p):
    """Gradient of the valley L = (p0² + 40 p1²) / 2."""
    return p * np.array([1.0, 40.0])


plain, adam = [np.array([-4.0, 1.0])], [np.array([-4.0, 1.0])]
m = v = np.zeros(2)
for t in range(1, 41):
    plain.append(plain[-1] - 0.045 * slope(plain[-1]))  # beyond 2/40 = 0.05 it would fly apart
    p, m, v = adam_step(adam[-1], slope(adam[-1]), m, v, t, 0.2, 0.5, 0.9)
    adam.append(p)

a, b = np.meshgrid(np.linspace(-4.5, 1, 100), np.linspace(-1.2, 1.2, 100))
axes = panels(height=3)
axes.contour(a, b, np.sqrt((a**2 + 40 * b**2) / 2), 12, colors="lightgrey")
axes.plot(*np.array(plain).T, ".-", lw=0.8, label="plain gradient descent, lr 0.045")
axes.plot(*np.array(adam).T, ".-", lw=0.8, label="Adam, lr 0.2")
axes.set(xlabel="weight 1", ylabel="weight 2", title="40 steps down a narrow valley")
axes.legend(loc="upper right")
plt.show()
assert abs(adam[25][0]) < 0.5 < abs(plain[25][0])
first_step = np.abs(adam[1] - adam[0])
np.testing.assert_allclose(first_step, 0.2, rtol=1e-6)  # lr, in each direction

# %% [markdown]
# ## Average the weights
#
# The weights never come to rest: each batch pulls in another direction, and they dance around the
# place where they should be. The middle of the dance is better than nearly all of its points. So
# keep a second set of weights, a moving average of the first, and use *that* one. It costs an
# addition a step, and it changes nothing in the training.
#
# ### Exercise 3

# %%
@exercise
def weight_average(history, decay):
    """history (n,P), weights after each of n steps -> average (P): their moving average after the
    last one.

    It begins as history[0]; then, for each later row: average = decay · average + (1 - decay) ·
    row.
    """
    raise NotImplementedError


check(weight_average)

# %%
dance = [np.array([0.5, 0.5])]
for _ in range(300):  # gradient descent towards (0, 0), with gradients that are noisy
    dance.append(dance[-1] - 0.1 * (dance[-1] + rng.normal(size=2)))
dance = np.array(dance)
averages = np.array([weight_average(dance[: n + 1], 0.95) for n in range(len(dance))])
axes = panels(height=2.8)
axes.plot(np.sqrt((dance**2).sum(axis=1)), lw=0.8, label="the weights")
axes.plot(np.sqrt((averages**2).sum(axis=1)), label="their moving average, decay 0.95")
axes.set(xlabel="step", ylabel="distance from the best", title="The middle of a dance")
axes.legend()
plt.show()
assert (averages[100:] ** 2).mean() < 0.7 * (dance[100:] ** 2).mean()

# %% [markdown]
# ## One step, put together
#
# Now the whole step, for the codec. Two sentences explain its order. The gradients must be computed
# from the *same* weights that the loss was computed from, so the optimiser comes last. And the
# average follows what it is an average of, so it comes after the optimiser.
#
# Below, the step is written out, with *your* Adam (or the library's, until yours is right). The
# library's `Trainer` gets the same batches. After three steps both must have the same weights. (In
# the first steps of a training there is no quantizer; why, we shall see below.)

# %%
SETTINGS = [
    "name=classroom_8khz", "sample_rate=8000", "seanet.strides=[2,4,5]", "seanet.latent=16",
    "bandwidths=[0.6,1.2,2.4]", "quantizer.levels=4", "quantizer.entries=8",  # 3 bits · 200 Hz each
    "lr=4e-3", "ema=0.9", "warmup_steps=100", "loss.mel_windows=[64,256]",
]  # fmt: skip


def new_trainer(*more):
    """A tiny codec in training, by the preset's recipe and the settings."""
    return trainer.Trainer(config.from_preset("tiny_24khz", "(no folder)", [*SETTINGS, *more]))


theirs, mine = new_trainer(), new_trainer()
names, weights = zip(*mine.codec.named_parameters(), strict=True)
m = {name: np.zeros_like(p.data) for name, p in zip(names, weights, strict=True)}
v = {name: np.zeros_like(p.data) for name, p in zip(names, weights, strict=True)}
for t in (1, 2, 3):
    x = tensor.Tensor(crops(wav, 0, t, 4, 2_400))
    decoded = mine.codec.decoder(mine.codec.encoder(x))[:, : x.shape[1]]
    loss = 50 * F.l1_loss(decoded, x) + 0.1 * mine.mel_loss(x, decoded)
    slopes = tensor.grad(loss, list(weights))
    for name, p, g in zip(names, weights, slopes, strict=True):
        p.data, m[name], v[name] = adam_step(p.data, g, m[name], v[name], t, 4e-3, 0.5, 0.9)
    theirs.update(x.data)

for name, p, q in zip(names, weights, theirs.codec.parameters(), strict=True):
    np.testing.assert_allclose(p.data, q.data, atol=1e-3, err_msg=name)
whose = "you" if "adam_step" in yours() else "the library"
print(f"the same weights after {t} steps; Adam by {whose}")

# %% [markdown]
# `source(trainer.Trainer.update)` adds to this: the quantizer, the adversary (chapter 11), the balancer
# (chapter 12), the averaged weights, and a look at whether the loss is still a finite number.
#
# ## What is each loss for? Leave it out
#
# An honest way to learn what something is good for is to do without it. That is called an ablation.
# Here are three trainings that differ in nothing else: with both losses, without the spectrogram's,
# without the waveform's. So that they do not take hours, all learn the same four excerpts by heart
# (chapter 6). (The third gives the spectrogram the weight 1 instead of 0.1. That changes nothing:
# with one loss alone, Adam takes the same steps whatever its weight.)

# %%
LONG = False  # True: 600 steps instead of 70 each, some 2 to 5 minutes; all three get closer
steps = 600 if LONG else 70
recipes = {
    "both losses": [],
    "no spectrogram loss": ["loss.warmup_mel=0.0"],
    "no waveform loss": ["loss.l1=0.0", "loss.warmup_mel=1.0"],
}
trained, decoded, curves = {}, {"the original": batch}, {}
for name, changes in recipes.items():
    trained[name] = new_trainer(f"warmup_steps={steps}", *changes)
    figures = [trained[name].update(batch) for _ in range(steps)]
    curves[name] = np.array([[f["l1"], f["mel"]] for f in figures])
    with tensor.no_grad():
        codec = trained[name].averaged_codec()
        z = codec.encoder(tensor.Tensor(batch))
        decoded[name] = codec.decoder(z).data[:, : batch.shape[1]]

# %%
axes = panels(2, 3)
for name, curve in curves.items():
    for ax, column, label in [(axes[0], 0, "mean |x - x̂|"), (axes[1], 1, "mel loss")]:
        ax.plot(curve[:, column], label=name, lw=0.9)
        ax.set(xlabel="step", ylabel=label)
for ax in axes:
    ax.set_ylim(0, None)
axes[0].legend(fontsize=8)
plt.show()

axes = panels(4, 2.8, sharey=True)
measured = {}
for ax, (name, sound) in zip(axes, decoded.items(), strict=True):
    spectrogram(ax, sound[0, :, 0], 8_000, name, window=256)
    ax.title.set_size(9)
    ax.label_outer()
    signals = batch[..., 0], sound[..., 0]
    measured[name] = float(si_sdr(*signals).mean()), mel_distance(*signals, 8_000)
plt.show()
for name, (ratio, distance) in list(measured.items())[1:]:
    print(f"{name:20} SI-SDR {ratio:6.1f} dB   mel distance {distance:5.1f} dB")
for name, sound in decoded.items():
    play(sound[..., 0].ravel(), 8_000, name)
assert measured["both losses"][0] > measured["no waveform loss"][0] + 20
assert curves["no waveform loss"][-10:, 1].mean() < curves["no spectrogram loss"][-10:, 1].mean()

# %% [markdown]
# Without the waveform loss, the mel loss falls fastest, and the wave is not learned at all: its
# SI-SDR is far below 0 dB. A spectrogram without phases fits many waves, and the network finds one
# that is not the speaker's. Look at its vowel: a band of noise where the original has the stripes of
# a voice. And its mel distance, which is printed, is *not* the best of the three, though its mel loss
# is half that of the others. The distance looks through seven windows, of 32 to 2048 samples; the
# loss, in this chapter, through two, of 64 and 256. Through those, this model is the best (6 dB off;
# with both losses, 8). Through the longest it is the worst (11 dB; with both losses, 7). What a loss
# does not see, nobody learns.
#
# Without the spectrogram loss, the wave is right where it is loud. What is quiet weighs little in a
# wave and much in the ear, and comes out noisier: the mel distance is a decibel higher than with
# both. (It is only a decibel because in this warm-up the spectrogram weighs little, 0.1; afterwards
# it weighs 1.) With both losses, each does what the other cannot.
#
# ## Why the quantizer comes later
#
# If the quantizer is there from the first step, its codebooks must be made from latents that mean
# nothing yet, and the decoder sees hardly anything of the input through them. Measured on a model
# of 3.7 million weights, with the same data and 1100 steps: quantized from the first step, with a
# weak waveform loss, it reached an SI-SDR of −41 dB at 1.5 kbps and at 6 kbps *alike*. It had
# learned how speech sounds in general. With 900 steps without quantizer, and a strong waveform
# loss, it had −1.9 dB at 1.5 kbps and +0.6 dB at 6. And the mel loss of both was the same, 0.49. So
# do not look at one number; and always look at whether more bits help.
#
# Our model has had its warm-up. Now it goes on with a quantizer: each level begins with k-means on
# what the levels before it have left over. (SI-SDR falls at first: the decoder has to get used to
# rounded latents, and the spectrogram now weighs ten times as much.)

# %%
model = trained["both losses"]
for _ in range(40):
    model.update(batch)
report, _ = validate(model.averaged_codec(), batch, model.mel_loss)
for name, values in report["rates"].items():
    print(
        f"{name:12} SI-SDR {values['si_sdr']:5.1f} dB"
        + ("" if name[0] == "u" else f" at {name} kbps")
    )
ratios = {name: values["si_sdr"] for name, values in report["rates"].items()}
assert model.codec.quantizer.ready == 4
assert ratios["2.4"] > ratios["0.6"]

# %% [markdown]
# ## Stop, and go on as if nothing had happened
#
# What must a checkpoint hold, so that a training goes on *bit for bit* as it would have without the
# stop? All arrays that the next step reads, and the number of the step. The weights, of course; the
# codebooks with their counts and sums; the averaged weights. And what is easily forgotten: Adam's
# $m$ and $v$, and its step counts. What is random needs no room: it comes from `[seed, step]`.

# %%
folder = Path(tempfile.mkdtemp())
runs = {"without a stop": new_trainer()}
for n in range(20):
    runs["without a stop"].update(crops(wav, 0, n, 4, 2_400))
saved = checkpoint.save(folder, 20, runs["without a stop"].state(), keep=1)
print(
    saved.name, f"{saved.stat().st_size / 1e6:.1f} MB:", ", ".join(runs["without a stop"].state())
)

for name in ("from the checkpoint", "the same, with a new Adam"):
    step, state = checkpoint.load(saved)
    if name != "from the checkpoint":
        state["optimizer"] = {key: 0 * array for key, array in state["optimizer"].items()}
    runs[name] = new_trainer()
    runs[name].restore(step, state)
saved.unlink()
folder.rmdir()

more = range(20, 32)
losses = {
    name: [run.update(crops(wav, 0, n, 4, 2_400))["loss"] for n in more]
    for name, run in runs.items()
}
axes = panels(height=2.8)
for (name, values), style in zip(losses.items(), ("-", ":", "--"), strict=True):
    axes.plot(more, values, style, lw=3 if style == ":" else 1.2, label=name)
axes.set(
    xlabel="step",
    ylabel="loss",
    title="Stopped after step 20",
    ylim=(0, 1.5 * max(losses["without a stop"])),
)
axes.legend(loc="upper left", ncols=3)
plt.show()
states = [runs[name].codec.state_dict() for name in ("without a stop", "from the checkpoint")]
for name, array in states[0].items():
    np.testing.assert_array_equal(array, states[1][name], err_msg=name)  # not nearly: equal
assert losses["the same, with a new Adam"] != losses["without a stop"]

# %% [markdown]
# A training that resumes *almost* right looks right: the loss bumps a little, and recovers. Only
# the demand for equal bits shows that something was forgotten. That is why it is worth making.
#
# ## A training of your own
#
# On a terminal, with a folder of any audio files:
#
# ```
# minicodec train tiny_24khz --data MY_FOLDER --out runs/first
# minicodec train --resume runs/first
# ```
#
# Ctrl-C stops it after the current step, and `--resume` goes on, as above. The folder gets curves,
# samples to listen to, and `model.safetensors`, which `minicodec.load("runs/first")` reads.
# `minicodec demo --train` does a short one on the clips that come with the package.

# %% [markdown]
# ## Your codec: the training
#
# Five parts are missing: an optimiser for many weights, a step of the discriminators, what they tell
# the decoder, a step of the codec, and the loop. `Adam` first. It keeps an $m$ and a $v$ for each
# Tensor, and leaves the arithmetic to `adam_step`.

# %%
# The library's parts that the cells below may use; in my_codec, they use yours.
from minicodec.course.my_codec.balancer import Balancer
from minicodec.course.my_codec.discriminator import (
    Judge,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from minicodec.course.my_codec.losses import l1_loss, mel_loss
from minicodec.course.my_codec.tensor import Tensor, gradients, parameters
from minicodec.course.my_codec.train import RECIPE, adam_step, crops, weight_average


# %%
@exercise
class Adam:
    """Adam for Tensors. weights: the list of them; m, v: lists of their averages, zeros at first;
    t: how many steps were made.
    """

    def __init__(self, weights, betas):
        """betas: beta1 and beta2 of adam_step."""
        raise NotImplementedError

    def step(self, slopes, lr):
        """slopes: the weights' gradients, a list. Each w.data becomes what adam_step makes of it,
        in the precision that it had.
        """
        raise NotImplementedError


check(Adam)

# %% [markdown]
# A discriminator is a `Judge` (chapter 11): `judge(Tensor)` gives its logits and a list of feature
# maps. There are several, at different scales; the losses take lists, with one entry for each.

# %%
@exercise
def teach_judges(judges, adam, x, decoded, lr):
    """judges (a list), their Adam, x, decoded (B,T,1), arrays -> loss, a number, before the step.

    One step of `adam` down the discriminator_loss, which makes them say more than 1 to x, and less
    than -1 to decoded.
    """
    raise NotImplementedError


check(teach_judges)

# %%
@exercise
def rival_losses(judges, x, decoded):
    """judges (a list), x (B,T,1), an array, decoded (B,T,1), a Tensor -> adversarial, feature.

    Both are Tensors of one number. adversarial: adversarial_loss of the judges' logits of decoded;
    feature: feature_loss over the maps of all judges, in one list; those of x are the aim.
    """
    raise NotImplementedError


check(rival_losses)

# %% [markdown]
# ### The step of the codec
#
# It is the longest exercise of the book, and each of its lines is a chapter. What it is told is a
# dict, the `recipe`; here is the one of `my_codec/train.py`:
#
# | | |
# |---|---|
# | `steps`, `size`, `length`, `seed` | how many steps; crops in a batch; samples in each; of `crops` |
# | `lr`, `betas`, `decay` | of Adam; of the averaged weights |
# | `warmup` | how many steps go without quantizer |
# | `l1`, `mel` | what the two losses weigh, until the discriminators join |
# | `windows`, `sample_rate` | of `mel_loss` |
# | `rival` | the step from which on the discriminators take part |
# | `judges`, `channels` | the windows (`n_fft`) of the discriminators, one each; their channels, C |
# | `shares` | the weights of the `Balancer`, which then takes the place of `l1` and `mel` |

# %%
RECIPE

# %% [markdown]
# A step goes forward from the batch $x$ to the decoded wave $\hat x$: encoder, quantizer, decoder. It
# is a little too long, whole frames, and is cut to the length of $x$. Then come the losses $L_k$, and
# the way back has two halves:
#
# $$ dx = \sum_k w_k \frac{\partial L_k}{\partial \hat x}, \qquad\qquad
#    d\theta = \Big(\frac{\partial \hat x}{\partial \theta}\Big)^{\!\top} dx $$
#
# The first half is cheap, and each loss goes it alone, because the balancer must see them one by one
# (chapter 12). The second half, through the decoder and the encoder with their weights $\theta$, is
# expensive and the same for all; so it is gone once. The cut between them is a new Tensor with the
# same numbers and without a past: `heard = Tensor(decoded.data, requires_grad=True)`. The losses are
# made of `heard`, and `gradients(decoded, weights, dx)` does the rest.
#
# From step `rival` on, the discriminators learn first, from $x$ and $\hat x$; then they say what they
# think of `heard`.
#
# The quantizer is asked for a number of levels that changes from step to step, because a codec for
# several bitrates must practise all of them (chapter 8). And what is random? As with the batches,
# each use gets a new generator, with a seed of its own: `[seed, steps, 1]` for the number of levels,
# `[seed, steps, 2]` for the quantizer, and `[seed, 4]` for the first weights of the discriminators.

# %%
@exercise
class Trainer:
    """A codec in training: codec and recipe, as they were given; steps, how many were made.

    weights        {path: Tensor}: the codec's parameters
    average        {path: array}: their moving average, at first a copy of each
    adam           an Adam for the weights
    judges         a list of Judges, one for each n_fft in recipe["judges"], from one generator
    judges_adam    an Adam for all parameters of the judges, in their order
    balancer       a Balancer with recipe["shares"]
    """

    def __init__(self, codec, recipe):
        raise NotImplementedError

    def step(self, x):
        """x (B,T,1) -> {name: number}: the losses "l1" and "mel", later "adversarial" and "feature".

        Forward, losses, backward, Adam, averages; then it has made one step more. The codec learns
        with lr · cooldown(), the judges with lr.
        """
        raise NotImplementedError

    def levels(self):
        """How many codebooks the next step uses: 0 in the warm-up; all, until all are ready; then
        one of 1, 2, 4, 8, …, as far as there are so many, that rng.choice draws.
        """
        raise NotImplementedError

    def cooldown(self):
        """What lr is multiplied by: 1, and over the last fifth of the steps on a line down to 0."""
        raise NotImplementedError


check(Trainer)

# %%
@exercise
def train(codec, wav, recipe, report):
    """Train a codec on wav (T), with a Trainer: recipe["steps"] steps, with the crops of 0, 1, 2, …

    report(step, losses) is called after each of them. In the end the codec has the averaged weights.
    """
    raise NotImplementedError


check(train)

# %% [markdown]
# ## Exercises
#
# 1. `crops`: a batch is a function of two integers.
# 2. `adam_step`: each weight by its own measure.
# 3. `weight_average`: the middle of the dance.
# 4. For `my_codec`: `Adam`, `teach_judges`, `rival_losses`, `Trainer`, `train`.
#
# And three to think about. Two runs differ in one setting, and one is 0.1 dB better: what would you
# do before you believe it? Adam's first step is lr in *every* weight, however small its gradient:
# is that good? Which of the arrays in a checkpoint does somebody need who only wants to *use* the
# codec?
#
# ## What the paper says
#
# Adam with a learning rate of 3·10⁻⁴ and betas 0.5 and 0.9, for encoder, decoder and
# discriminators; batches of 64 examples of one second; 300 epochs of 2000 updates, on 8 GPUs
# [Defossez22, §4]. Excerpts are mixed: one source with probability 0.64, two with 0.24, three (no
# music) with 0.12, with random gains of −10 to +6 dB and now and then a room's reverb. The averaged
# weights are not in the paper, but in AudioCraft, with decay 0.99. Neither has a warm-up without
# quantizer: with 600 000 steps one can do without.
#
# ## What to read next
#
# `minicodec/training/trainer.py`, from its first lines on; `minicodec/training/checkpoint.py`; and
# `minicodec/training/validation.py`, which looks at the lowest and the highest bitrate side by
# side. Then chapter 14: from codes to a file.
