# %% [markdown]
# # 18 How good is it?
#
# **You will be able to** measure a codec in several ways, say what each of them cannot see, tell a
# difference from chance, and set up a blind listening test whose result deserves to be believed.
#
# **Before you start**: chapter 1 (decibels); chapter 10 helps (spectra). Headphones are needed more
# than anywhere else.
#
# **Reading time**: 40 minutes, and 45 for the exercises. The cells take about 20 seconds.

# %%
from minicodec.course.diagram import you_are_here

you_are_here(18)

# %%
import matplotlib.pyplot as plt
import numpy as np

from minicodec import audio
from minicodec.course import check, exercise, yours
from minicodec.course.show import panels, play, source
from minicodec.evaluation.baselines import lowpass, mp3, opus
from minicodec.evaluation.listening.analysis import analyse, student_t, summarise, table
from minicodec.evaluation.listening.ratings import Rating
from minicodec.evaluation.scores import METRICS, align, measure
from minicodec.evaluation.statistics import bootstrap
from minicodec.files import data_folder
from minicodec.ops.stft import hann, spectrum, spectrum_adjoint

yours();

# %% [markdown]
# ## The idea: every measure is deaf in its own way
#
# You have trained a codec. Is it better than yesterday's? Better than Opus? The only judge that
# counts is a person who listens, and persons are slow, expensive, tired after half an hour, and
# disagree. So we use formulas. Each of them looks at one thing and is deaf to the rest; whoever
# knows only one formula will be fooled by it sooner or later, and a network trained on it will find
# out how much sooner.
#
# So this chapter is about traps. It begins with a sentence, and four things done to it. Listen
# *before* you read on, and put them in order: which one would you hand in?

# %%
wav, rate = audio.read(data_folder() / "speech_en_1.flac", start=24_000, frames=60_000)
rng = np.random.default_rng(0)


def power(x):
    return float((x * x).mean())


def with_noise(wav, decibels):
    """White noise, so many dB below the signal."""
    noise = rng.standard_normal(wav.shape).astype(np.float32)
    return wav + noise * np.sqrt(power(wav) / 10 ** (decibels / 10) / power(noise))


def with_random_phases(wav):
    """The magnitudes of the STFT kept, its phases drawn by lot, at the same level."""
    window = hann(1024, wav, normalized=True)
    Y = spectrum(wav, 1024, 256, window)
    Y = np.abs(Y) * np.exp(2j * np.pi * rng.random(Y.shape))
    y = spectrum_adjoint(Y, wav.shape[1], 1024, 256, window)
    return (y * np.sqrt(power(wav) / power(y))).astype(np.float32)


versions = {
    "white noise, 20 dB": with_noise(wav, 20),
    "low-pass 3.5 kHz": lowpass(wav, rate, 3500),
    "phases by lot": with_random_phases(wav),
    "all phases + 90°": np.fft.irfft(1j * np.fft.rfft(wav), wav.shape[1]).astype(np.float32),
}
secret = np.random.default_rng().permutation(list(versions))
play(wav[0], rate, "the original")
for letter, name in zip("ABCD", secret, strict=True):
    play(versions[name][0], rate, f"version {letter}")

# %% [markdown]
# Your order is written down? Then see what they were. (They are shuffled anew whenever you run the
# cell.)

# %%
print(dict(zip("ABCD", secret.tolist(), strict=True)))

# %% [markdown]
# ## Measure one: the waveform
#
# The oldest idea is to subtract: how much power has the error, compared with the signal? But then a
# decoding that is only a little softer than the original has a large error. So first ask how much
# of the original the estimate holds. Take the means off both; *project* the estimate $e$ onto the
# signal $s$:
#
# $$ p = \frac{\langle e, s\rangle}{\langle s, s\rangle}\, s, \qquad
#    \text{SI-SDR} = 10 \log_{10} \frac{\|p\|^2}{\|e - p\|^2} \text{ dB} $$
#
# Why this factor? $e - p$ is then at a right angle to $s$: no other multiple of $s$ comes nearer to
# $e$. What is left over is nothing of the signal, and is called distortion. This is the
# *scale-invariant signal-to-distortion ratio* [LeRoux19].
#
# ### Exercise 1

# %%
@exercise
def si_sdr(reference, estimate):
    """reference (*b,T), estimate (*b,T) -> dB (*b): the scale-invariant signal-to-distortion ratio.

    Take the mean over time off both, s and e. p = (<e,s> / <s,s>) s is the part of e that is
    like s, and the ratio is 10 log10 (<p,p> / <e - p, e - p>). Each signal of a batch has its own.
    """
    raise NotImplementedError


check(si_sdr)

# %%
# Louder, softer, upside down, with an offset: all the same to it.
noisy = versions["white noise, 20 dB"].astype(np.float64)
clean = wav.astype(np.float64)
for changed in (3 * noisy, 0.1 * noisy, -noisy, noisy + 0.2):
    np.testing.assert_allclose(si_sdr(clean, changed), si_sdr(clean, noisy))

# %% [markdown]
# ## Four measures, nine sounds
#
# The other measures look at spectra. *Mel distance* compares the levels in bands that are about as
# wide as the ear's (chapter 10), *log-spectral distance* those in all bins, and ViSQOL models an
# ear; more of it below. Here they are, on our four sounds and on five more: one that is five
# samples late (a fifth of a millisecond), and four by codecs.

# %%
versions |= {
    "5 samples late": np.roll(wav, 5, axis=1),
    "MP3, 16 kbit/s": mp3(wav, rate, 16).wav,
    **{f"Opus, {kbps} kbit/s": opus(wav, rate, kbps).wav for kbps in (6, 12, 24)},
}
names = ("si_sdr", "mel_distance", "log_spectral_distance", "visqol")
figures = {version: measure(wav, sound, rate, names) for version, sound in versions.items()}
print(f"{'':20}", *(f"{name:>22}" for name in names))
for version, values in figures.items():
    print(f"{version:20}", *(f"{values[name]:22.1f}" for name in names))

# %%
# Who is best? Each measure's own order:
order = {}
for name in names:
    by_figure = sorted(figures, key=lambda version, name=name: figures[version][name])
    order[name] = by_figure[::-1] if METRICS[name].higher_is_better else by_figure
colours = dict(zip(figures, plt.get_cmap("tab10").colors, strict=False))
axes = panels(height=4.5)
for version in figures:
    places = [1 + order[name].index(version) for name in names]
    axes.plot(range(4), places, "o-", color=colours[version], lw=2, ms=8)
    axes.annotate(version, (3, places[-1]), (10, -3), textcoords="offset points", fontsize=9)
axes.set(xticks=range(4), xticklabels=["SI-SDR", "mel distance", "log-spectral distance", "ViSQOL"],
         xlim=(-0.2, 4.1), yticks=range(1, len(figures) + 1), ylabel="place (1: best)",
         title="Who wins depends on whom one asks")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# If the measures agreed, these lines would be level. Look at the knots:
#
# - **All phases + 90°** sounds like the original to most people: the same tones at the same times,
#   each moved by a quarter of its period. SI-SDR says that nothing of the original is in it. The
#   spectral measures find hardly anything to complain about.
# - **White noise** hisses plainly, and has the best SI-SDR of all, far above Opus at 24 kbit/s.
# - **Phases by lot** has kept its magnitudes, roughly, and sounds rough and smeared; the mel
#   distance puts it before Opus at 6 kbit/s, and ViSQOL finds it close to excellent.
# - **The low-pass** is dull, but calm and perfectly intelligible; the log-spectral distance puts it
#   far behind the hiss, because it counts in decibels: silence instead of something very soft is a
#   difference of tens of dB.
#
# In short: SI-SDR is ruled by phases, and the distances see nothing but magnitudes. The claims,
# held to the figures:

# %%
assert figures["all phases + 90°"]["si_sdr"] < -20
assert figures["all phases + 90°"]["mel_distance"] < 2
assert figures["white noise, 20 dB"]["si_sdr"] > figures["Opus, 24 kbit/s"]["si_sdr"] + 5
assert figures["phases by lot"]["mel_distance"] < figures["Opus, 6 kbit/s"]["mel_distance"]
assert figures["phases by lot"]["visqol"] > figures["Opus, 12 kbit/s"]["visqol"]
dull, hissing = (
    figures[v]["log_spectral_distance"] for v in ("low-pass 3.5 kHz", "white noise, 20 dB")
)
assert dull > hissing + 5

# %% [markdown]
# ## First of all: align
#
# And then there is **5 samples late**. Nobody hears that, and its SI-SDR is below that of Opus at 6
# kbit/s. Codecs *are* late: an encoder waits for a block, a filter has a delay, an MP3 file begins
# with padding. A table of SI-SDR in which one codec is bad beyond belief is usually a table of
# delays.
#
# So find the delay, and take it away. Slide the estimate along the reference and multiply: where
# the two lie on each other, the sum of products is largest. (In magnitude: a codec may turn the
# polarity over, which is as inaudible as the delay.)
#
# ### Exercise 2

# %%
@exercise
def find_delay(reference, estimate, longest):
    """reference (T), estimate (T) -> delay (), a whole number of samples.

    estimate[t + delay] is most like reference[t]: the mean is taken off both, and
    |Σ_t estimate[t + delay] reference[t]| is largest, over those t for which both exist. Only
    delays from -longest to longest count. Negative: the estimate comes early.
    """
    raise NotImplementedError


check(find_delay)

# %%
late = versions["5 samples late"]
assert find_delay(wav[0], late[0], 40) == align(wav, late, rate)[2] == 5
for d in range(1, 6):
    print(f"{d} samples late: {si_sdr(wav[0], np.roll(wav[0], d)):6.1f} dB")
a, b, _ = align(wav, late, rate)
assert si_sdr(a[0], b[0]) > 60

# %% [markdown]
# One sample, a twenty-fourth of a millisecond, and the ratio has fallen from infinity to a few
# decibels. The package aligns before it measures anything: `source(align)`, by way of the FFT, and
# only if the two are alike at all.
#
# ## What ViSQOL hears
#
# ViSQOL [Chinen20] is a model of a listener. It takes a spectrogram as the inner ear does, with 32
# bands that are narrow below and wide above; cuts it into patches of 0.6 s; finds each patch again
# in the other signal; compares them point by point, with a formula that was made for images (local
# means, variances and correlations); and maps the 32 similarities to a grade from 1 to 5 with a
# curve that was *fitted to listening tests*. Delay, level and polarity cost nothing.
#
# That is a good deal of wisdom about hearing, and it has borders. It was fitted to classical codecs
# at 24 kbit/s and more, so it has never met the sounds that a neural codec makes at 3. Phases are
# not in a spectrogram: see above. And it listens with one ear:

# %%
stereo, stereo_rate = audio.read(data_folder() / "music_song_44k_stereo.flac", frames=2 * 44_100)
grade = measure(stereo, stereo[::-1], stereo_rate, ["visqol"])["visqol"]
print(f"left and right exchanged: ViSQOL {grade:.2f}, as for equal sounds")
assert grade > 4.7

# %% [markdown]
# ## At how many bits?
#
# "Better at 12 kbit/s" is a claim about two numbers, and the second is as easily wrong as the
# first. An encoder takes a rate as a wish. A container adds bytes of its own. On short clips, that
# is a lot:

# %%
coded = opus(wav[:, :36_000], rate, 12)
for what, size in [("payload", coded.payload_bytes), ("whole file", coded.file_bytes)]:
    print(f"Opus in Ogg, wish: 12 kbit/s, {what}: {size * 8 / 1.5 / 1000:.1f} kbit/s")
assert coded.file_bytes > 1.2 * coded.payload_bytes

# %% [markdown]
# The package compares payloads, real bytes, and searches for the wish that gives the rate. And it
# never reports what a codec *would* need: `len(file) * 8` needs no excuse.
#
# ## Is that a difference?
#
# Now a real question: at 12 kbit/s, which is better for music, Opus or MP3? Five clips of one and a
# half seconds.

# %%
clips = ("music_strings", "music_harp", "music_flute", "drums_1", "drums_2")
results = {system: {"si_sdr": [], "mel_distance": []} for system in ("Opus", "MP3")}
sounds = {}
for clip in clips:
    music, music_rate = audio.read(data_folder() / f"{clip}.flac", start=48_000, frames=36_000)
    sounds[clip] = {"original": music, "Opus": opus(music, music_rate, 12).wav,
                    "MP3": mp3(music, music_rate, 12).wav}
    for system in results:
        a, b, _ = align(music, sounds[clip][system], music_rate)
        for name, value in measure(a, b, music_rate, ["si_sdr", "mel_distance"]).items():
            results[system][name].append(value)
for system, values in results.items():
    print(f"{system:5}", {name: np.round(some, 1).tolist() for name, some in values.items()})

# %% [markdown]
# The clips differ more than the codecs do. What is a mean over *five* clips worth? Had we taken
# five others, what would have come out? We do not have five others. But we can draw five from these
# five, with replacement (some twice, some not at all), as often as we like, and look how the mean
# varies. Strange as it seems, this works: it is called the **bootstrap** [Efron79].
#
# ### Exercise 3

# %%
@exercise
def bootstrap_interval(values, choices):
    """values (n), choices (D,n) indices -> low (), high (): the 95 % interval of the mean.

    Each row of choices is one draw of n clips, with replacement. Take the mean of every draw; low
    and high are the 2.5 % and the 97.5 % quantile of these D means (np.quantile).
    """
    raise NotImplementedError


check(bootstrap_interval)

# %%
choices = np.random.default_rng(0).choice(len(clips), (2000, len(clips)))  # those of the package
package = bootstrap(results["Opus"]["si_sdr"])
np.testing.assert_allclose(
    bootstrap_interval(np.array(results["Opus"]["si_sdr"]), choices), (package.low, package.high)
)

intervals = {}
for name in ("si_sdr", "mel_distance"):
    a, b = (np.array(results[system][name]) for system in ("Opus", "MP3"))
    rows = {"Opus": a, "MP3": b, "Opus - MP3": a - b}
    intervals[name] = {row: (some, bootstrap_interval(some, choices)) for row, some in rows.items()}

figure, panels = plt.subplots(1, 2, figsize=(9, 2.8))
for axes, (name, rows) in zip(panels, intervals.items(), strict=True):
    for row, (values, (low, high)) in enumerate(rows.values()):
        axes.plot(values, np.full(len(values), row), "o", color="grey", alpha=0.6, ms=5)
        axes.plot([low, high], [row + 0.2] * 2, color=f"C{row}", lw=3)
        axes.plot(values.mean(), row + 0.2, "o", color=f"C{row}")
    axes.axvline(0, color="black", lw=0.8)
    axes.set(
        yticks=range(3),
        yticklabels=rows,
        ylim=(2.6, -0.5),
        xlabel=f"{name.replace('_', ' ')} / dB",
        title=f"{'higher' if METRICS[name].higher_is_better else 'lower'} is better",
    )
plt.tight_layout()
plt.show()

# %% [markdown]
# Grey: the clips; coloured: mean and 95 % interval. In SI-SDR, the intervals of Opus and of MP3
# overlap widely. Does that mean that one cannot tell them apart? No: *both coded the same clips*.
# What is hard for one is hard for the other. Look at the **differences**, clip by clip: all have
# the same sign, and 0 is not in their interval.
#
# So it is settled: MP3 is better. And now look at the other panel, where it is settled just as
# firmly that Opus is better.
#
# Both intervals are right. They say how the measure would come out on other clips; no statistics in
# the world can say whether it measures what you want. At this rate MP3 keeps the waveform of the
# low tones and throws away what lies above; Opus keeps some of everything. SI-SDR counts power, and
# power is in the low tones. Which do you prefer?

# %%
differences = {name: rows["Opus - MP3"][1] for name, rows in intervals.items()}
print({name: f"{low:.1f} ... {high:.1f} dB" for name, (low, high) in differences.items()})
assert differences["si_sdr"][1] < 0  # MP3 surely better
assert differences["mel_distance"][1] < 0  # Opus surely better: it is a distance

kept = {}  # power above 5 kHz: bins of 36 000 samples at 24 kHz are 2/3 Hz apart
for system in ("original", "Opus", "MP3"):
    kept[system] = sum(
        (np.abs(np.fft.rfft(sounds[clip][system][0]))[7500:] ** 2).sum() for clip in clips
    )
for system in results:
    print(f"{system}: {kept[system] / kept['original']:.1%} of the power above 5 kHz is kept")
assert kept["MP3"] < 0.2 * kept["Opus"]
for system, sound in sounds["music_strings"].items():
    play(sound[0], music_rate, f"strings, {system}")

# %% [markdown]
# ## Ask people
#
# A listening test can fool you as well as a formula can. Who knows which one is the new codec will
# hear that it is better. The test that the field has agreed on is called **MUSHRA** [ITU-R
# BS.1534-3], and each of its rules is there against a way of being fooled:
#
# - Several versions of a clip side by side, to switch between at will, rated from 0 to 100:
#   *differences* are heard best.
# - In random order and without names: nobody can favour anything.
# - The original is among them, hidden. Who rates it below 90 again and again does not hear what is
#   to be heard, or is not listening, and is left out afterwards, by a rule that was fixed
#   beforehand.
# - Two **anchors**, low-passed at 3.5 and 7 kHz, are among them, too: they pin the scale down, so
#   that 60 means about the same in two tests, and somebody who rates the second one above 90 is
#   left out likewise.
#
# With a model of yours, two commands make all of it: `minicodec evaluate` codes the clips at equal
# bytes, with Opus, MP3 and the anchors, and `minicodec listen` opens the test in your browser,
# writes every rating to a file and computes the means.
#
# ### Exercise 4: how sure is the mean?
#
# Six listeners rated ten clips: sixty numbers. But not sixty independent ones. A listener who is
# strict is strict ten times. If one asks how *another six listeners* would have rated, one has six
# numbers: each listener's mean.

# %%
@exercise
def mushra_interval(scores, t):
    """scores (L,C) of L listeners for C clips -> mean (), half (): mean score, half its interval.

    First each listener's mean over the clips, then the mean of these L means. half is t·s/√L, with
    s² = Σ (listener's mean - mean)² / (L - 1). t, the 97.5 % point of Student's t with L - 1
    degrees of freedom, is given.
    """
    raise NotImplementedError


check(mushra_interval)

# %%
# As the package does it (listeners invented by a random generator: nobody has listened here):
def invented(rng, L, C, truth=70):
    """Scores (L,C): listeners are strict or generous (spread 10), ratings have their own (8)."""
    return truth + 10 * rng.normal(size=(L, 1)) + 8 * rng.normal(size=(L, C))


def rating(listener, clip, condition, score):
    """A row of the file that `minicodec listen` writes."""
    score = int(np.clip(score, 0, 100))
    return Rating(
        "", f"{listener:032x}", f"listener {listener}", f"clip {clip}", condition, score, "final"
    )


scores = invented(rng, 6, 10).clip(0, 100).round()
rows = [rating(n, clip, "ours", scores[n, clip]) for n in range(6) for clip in range(10)]
package = summarise("ours", rows)
np.testing.assert_allclose(mushra_interval(scores, student_t(5, 0.95)), (package.mean, package.half))

# Does a 95 % interval hold the truth in 95 % of all tests? Run a thousand of them, in both ways of
# counting.
held = {"listeners count": 0, "all ratings count": 0}
for _ in range(1000):
    scores = invented(rng, 6, 10)
    mean, half = mushra_interval(scores, student_t(5, 0.95))
    held["listeners count"] += abs(mean - 70) < half
    flat = scores.reshape(60, 1)  # as if sixty listeners had rated one clip each
    mean, half = mushra_interval(flat, student_t(59, 0.95))
    held["all ratings count"] += abs(mean - 70) < half
print({name: f"{count / 1000:.1%}" for name, count in held.items()})
assert 0.92 < held["listeners count"] / 1000 < 0.98
assert held["all ratings count"] / 1000 < 0.75

# %% [markdown]
# Sixty numbers taken for independent give an interval that is far too narrow: it claims 95 %, and
# is right about half of the time. This mistake is common, and it always errs in the direction that
# pleases the author.
#
# And the rule that leaves people out, at work on invented ratings of which one set was given
# without listening:

# %%
conditions = {"reference": 98, "ours": 70, "lowpass-7kHz": 55, "lowpass-3.5kHz": 25}
everything = []
for clip in range(5):
    for condition, typical in conditions.items():
        spread = 1 if condition == "reference" else 8
        everything += [
            rating(n, clip, condition, typical + spread * rng.normal()) for n in range(4)
        ]
        everything.append(
            rating(4, clip, condition, rng.integers(30, 90))
        )  # moves sliders at random
found = analyse(everything)
print(table(found))
assert list(found.excluded) == ["listener 4"]

# %% [markdown]
# ## Your own codec
#
# Put the folder of a training run of yours here (chapter 13), and hear and see it beside Opus.
# Without one, there is nothing to compare. (For all clips, all rates and all measures, in some
# minutes: `minicodec evaluate RUN --data FOLDER --out OUT`.)

# %%
MODEL = ""  # for example "runs/mine"
if MODEL:
    import minicodec

    codec = minicodec.load(MODEL)
    kbps = max(b for b in codec.bandwidths if b <= 6)
    ours = codec.decode(codec.encode(audio.resample(wav, rate, codec.sample_rate), kbps))
    ours = audio.resample(ours, codec.sample_rate, rate)[:, : wav.shape[1]]
    both = {f"yours, {kbps:g} kbit/s": ours, "Opus, 6 kbit/s": versions["Opus, 6 kbit/s"]}
    for title, sound in both.items():
        a, b, _ = align(wav, sound, rate)
        print(title, {name: round(value, 2) for name, value in measure(a, b, rate, names).items()})
        play(sound[0], rate, title)

# %% [markdown]
# ## Exercises
#
# 1. `si_sdr`: the waveform, at the best volume.
# 2. `find_delay`: first of all.
# 3. `bootstrap_interval`: had we taken other clips.
# 4. `mushra_interval`: had we asked other people.
#
# To think about: Exchange reference and estimate in SI-SDR: the number stays the same. Why? A codec
# trained with an adversary (chapter 11) *invents* the fine structure of an "s". What will SI-SDR
# say to that, and what will listeners? You changed the loss from mel to log-spectral distance, and
# the log-spectral distance got better: what have you learned? Five clips all had the same sign in
# the paired difference; how probable is that, if both systems are equally good?
#
# ## What the paper says
#
# Listeners rated in MUSHRA tests, with hidden references and a low anchor, and those who failed on
# them were left out [Defossez22, §4]. Beside them stand two formulas, SI-SNR (the same thing as
# SI-SDR) and ViSQOL. At 24 kHz, the formulas' table gives EnCodec at 6 kbit/s 6.67 dB and 4.35,
# Opus 2.45 and 2.60, EVS 1.89 and 2.74. Of clean speech, listeners gave EnCodec at 6 kbit/s 83.1
# points, Opus at 6 kbit/s 30.1, EVS at 9.6 kbit/s 84.4 [Defossez22, §4.4].
#
# To both formulas, Opus and EVS are about alike, and far from EnCodec; to listeners, EVS at its
# rate and EnCodec at its own are alike, and Opus is far away. It is the same lesson, in the paper's
# own figures: no formula can replace the listeners.
#
# ## What to read next
#
# `minicodec/metrics.py` and `minicodec/evaluation/scores.py` (every measure with its blind spots),
# `minicodec/evaluation/visqol/`, a whole model of hearing in five short files;
# `minicodec/evaluation/listening/`. Then take your own model, five friends and an hour. Chapter 19
# looks at what came after EnCodec.
