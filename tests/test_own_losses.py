"""Losses and discriminators of somebody's own in a training."""

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.errors import InputError
from minicodec.nn.layers import Conv1d
from minicodec.nn.module import Module
from minicodec.tensor import Tensor
from minicodec.training import checkpoint, config, run as runs
from minicodec.training.discriminator import Judgement
from minicodec.training.trainer import Trainer
from tests.small_run import SETTINGS, make_audio

PLAIN = [*SETTINGS, "loss.l1=0", "loss.mel=0", "loss.warmup_mel=0", "loss.commitment=0"]
JUDGED = [*SETTINGS, "adversary.enabled=true", "adversary.start=2", "adversary.probability=1", "steps=6"]


def level(x, decoded):
    """How far is the mean of the decoded from 1? The original plays no part."""
    return F.absolute(decoded.mean() - 1)


class Waves(Module):
    """A discriminator of waveforms, with one scale of two convolutions."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.first, self.last = Conv1d(1, 4, 9, stride=4, rng=rng), Conv1d(4, 1, 3, rng=rng)

    def __call__(self, x):
        features = F.leaky_relu(self.first(x))
        return Judgement([self.last(features)], [[features]])


def tone(T=6000):
    return (0.3 * np.sin(2 * np.pi * 440 / 24_000 * np.arange(T, dtype=np.float32)))[None, :, None].repeat(2, 0)


def trainer(settings, **own):
    return Trainer(config.from_preset("tiny_24khz", "nowhere", settings), **own)


def test_a_training_by_an_own_loss_alone_makes_it_small():
    learner = trainer(PLAIN, losses={"level": (1.0, level)})
    figures = [learner.update(tone()) for _ in range(12)]
    assert figures[0]["level"] > 0.8
    assert figures[-1]["level"] < 0.9 * figures[0]["level"]
    assert figures[0]["share.level"] == pytest.approx(1)
    assert figures[0]["loss"] == pytest.approx(figures[0]["level"])


def test_its_weight_counts():
    """Twice the weight, twice the part in the sum; and none, the training that there would be without it."""
    first = [trainer(SETTINGS, losses={"level": (w, level)}).update(tone()) for w in (0.0, 1.0, 2.0)]
    assert first[2]["loss"] - first[0]["loss"] == pytest.approx(2 * (first[1]["loss"] - first[0]["loss"]), rel=1e-4)
    odds = [one["share.level"] / one["share.mel"] for one in first]
    assert odds[2] == pytest.approx(2 * odds[1], rel=1e-4)
    without = trainer(SETTINGS).update(tone())
    assert {name: value for name, value in first[0].items() if "level" not in name} == without


def test_the_balancer_gives_it_a_share():
    """Of weights 0.1, 1, 3, 3 and its 5: at the first step all gradients are of their usual size."""
    learner = trainer([*JUDGED, "adversary.start=0"], losses={"level": (5.0, level)})
    assert learner.update(tone())["share.level"] == pytest.approx(5 / 12.1, rel=1e-3)


def test_an_own_discriminator_is_the_one_that_learns():
    learner = trainer(JUDGED, discriminator=Waves())
    before = learner.adversary.discriminator.first.weight.data.copy()
    for _ in range(3):
        figures = learner.update(tone())
    assert figures["discriminator"] > 0
    assert figures["adversarial"] > 0
    assert (learner.adversary.discriminator.first.weight.data != before).any()


OWN = {"losses": {"level": (0.5, level)}}


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path):
    audio = make_audio(tmp_path / "audio")
    recipe = config.from_preset("tiny_24khz", str(audio), [*JUDGED, "checkpoint_every=3"])
    runs.start(tmp_path / "whole", recipe, **OWN, discriminator=Waves()).train()
    runs.start(tmp_path / "halves", config.with_steps(recipe, 3), **OWN, discriminator=Waves()).train()
    runs.resume(tmp_path / "halves", 6, **OWN, discriminator=Waves(seed=1)).train()  # its weights are the checkpoint's
    whole, halves = (checkpoint.in_folder(tmp_path / name / "checkpoints")[-1] for name in ("whole", "halves"))
    assert whole.name == halves.name == "step-00000006.safetensors"
    assert whole.read_bytes() == halves.read_bytes()
    with pytest.raises(InputError, match="does not fit the newest checkpoint: "):
        runs.resume(tmp_path / "halves", **OWN)  # its discriminator is another


def test_a_run_is_not_resumed_with_other_losses(tmp_path):
    """It would go on, and be another training."""
    audio = make_audio(tmp_path / "audio")
    recipe = config.from_preset("tiny_24khz", str(audio), [*SETTINGS, "steps=2"])
    runs.start(tmp_path / "run", recipe, **OWN).train()
    for losses, theirs in [
        (None, "(none)"),
        ({"level": (0.6, level)}, "level (weight 0.6)"),
        ({"height": (0.5, level)}, "height (weight 0.5)"),
    ]:
        with pytest.raises(InputError) as caught:
            runs.resume(tmp_path / "run", losses=losses)
        assert f"trained with own losses level (weight 0.5), not {theirs}; give minicodec.training.run" in str(caught)


@pytest.mark.parametrize(
    ("losses", "error"),
    [
        ({"l1": (1, level)}, "loss 'l1': choose another name, of letters; these are taken: loss, l1"),
        ({"a.b": (1, level)}, "loss 'a.b': choose another name"),
        ({"level": (-1, level)}, "loss level: its weight -1 cannot be used"),
        ({"level": (float("nan"), level)}, "loss level: its weight nan cannot be used"),
    ],
)
def test_losses_that_cannot_be(losses, error):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        trainer(SETTINGS, losses=losses)
    assert str(caught.value).startswith(error)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, decoded: decoded.data.mean(),
        lambda x, decoded: F.absolute(decoded - x),
        lambda x, decoded: Tensor(np.float32(1)),
    ],
)
def test_what_returns_no_loss_is_named(function):
    with pytest.raises(TypeError, match="loss mine: it must return a scalar Tensor computed from `decoded`, not "):
        trainer(SETTINGS, losses={"mine": (1, function)}).update(tone())


def test_discriminators_that_cannot_be():
    with pytest.raises(ValueError, match=r"a discriminator takes part if adversary\.enabled is true"):
        trainer(SETTINGS, discriminator=Waves())

    class Bare(Waves):
        def __call__(self, x):
            return super().__call__(x).logits

    learner = trainer([*JUDGED, "adversary.start=0"], discriminator=Bare())
    with pytest.raises(TypeError, match=r"a discriminator must return a Judgement\(logits, features\), not \["):
        learner.update(tone())
