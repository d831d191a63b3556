"""Each notice is provoked, by trainings that do fail where that is quick, and a healthy training gets none."""

import numpy as np
import pytest

from minicodec.training import watch as module
from minicodec.training.config import from_preset
from minicodec.training.trainer import Trainer
from minicodec.training.validation import codebook_figures
from minicodec.training.watch import SILENT, Watch

WINDOW = 12  # shorter than the real one, so that a training that fails has done so soon

HEALTHY = {"discriminator": 1.2, "feature": 0.3, "share.mel": 0.4, "share.feature": 0.6}


@pytest.fixture(autouse=True)
def short_window(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", WINDOW)


def watch(figures, steps=3 * WINDOW, first=0, watch=None):
    watch = watch or Watch()
    return [line for step in range(first, first + steps) for line in watch.after_step(step, figures)]


def small_trainer(*settings):
    base = [
        "seanet.filters=4", "seanet.latent=4", "seanet.lstm_layers=0", "seanet.strides=[4,5]", "sample_rate=1500",
        "bandwidths=[0.6]", "quantizer.levels=1", "quantizer.entries=256", "loss.mel_windows=[64]", "warmup_steps=0",
        "adversary.enabled=true", "adversary.filters=2", "adversary.windows=[32]",
    ]  # fmt: skip
    return Trainer(from_preset("tiny_24khz", "unused", [*base, *settings]))


def train(trainer, steps, watch=None):
    """Notices of a training on noise."""
    rng, watch, notices = np.random.default_rng(0), watch or Watch(), []
    for step in range(steps):
        x = (0.2 * rng.normal(size=(2, 300, 1))).astype(np.float32)
        notices += watch.after_step(step, trainer.update(x))
    return notices


def test_a_healthy_training_gets_no_notice():
    assert watch(HEALTHY) == []


def test_the_discriminator_wins():
    """It learns fast and the decoder does not learn at all."""
    notices = train(small_trainer("adversary.lr=0.01", "lr=1e-9", "adversary.probability=1"), 4 * WINDOW)
    (line,) = [n for n in notices if "discriminator" in n]
    assert line.startswith("the discriminator wins: its hinge loss is 0.0")
    assert "adversary.probability" in line


def test_a_loss_rules_and_others_drown():
    """Weights as in the paper's ablation, but worse, without the balancer."""
    notices = train(small_trainer("adversary.balanced=false", "adversary.mel=100000"), WINDOW)
    topics = {n.split(":")[0] for n in notices}
    assert "the loss mel rules" in topics
    assert {"the loss l1 drowns", "the loss feature drowns", "the loss adversarial drowns"} <= topics
    assert all("adversary.balanced=true" in n for n in notices)
    assert not train(small_trainer("adversary.mel=20"), WINDOW)  # the same with balance: shares stay what they are


def test_feature_matching_explodes():
    calm = Watch()
    assert watch(HEALTHY, steps=WINDOW, watch=calm) == []
    (line,) = watch(HEALTHY | {"feature": 4.0}, first=WINDOW, watch=calm)
    assert line.startswith("feature matching explodes: ")
    assert "was 0.3 at first" in line
    assert "adversary.normalized=true" in line


def test_unnormalized_features_do_explode():
    """Plain feature matching follows the size of the discriminator's weights; normalised, it does not care."""
    for normalized in (False, True):
        trainer, watcher = small_trainer(f"adversary.normalized={str(normalized).lower()}"), Watch()
        assert not train(trainer, WINDOW, watcher)
        first = trainer.adversary.discriminator.scales[0].convs[0]
        first.weight.data *= 30
        first.bias.data *= 30
        exploding = [n for n in train(trainer, WINDOW, watcher) if n.startswith("feature matching explodes")]
        assert bool(exploding) is not normalized


def test_a_codebook_collapses(rng):
    """All counts on three of 256 entries."""
    quantizer = small_trainer().codec.quantizer
    codec = type("Codec", (), {"quantizer": quantizer})()
    quantizer.counts[0, :3] = [5, 2, 1]
    figures = {"codebooks": codebook_figures(codec, np.zeros((1, 10), int))}
    (line,) = Watch().after_validation(0, figures, 256)
    assert line.startswith("codebook 1 collapses: perplexity 2 of 256 entries; try ")
    quantizer.counts[0] = rng.uniform(1, 2, 256)
    assert Watch().after_validation(0, {"codebooks": codebook_figures(codec, np.zeros((1, 10), int))}, 256) == []


def test_notices_are_not_repeated_at_once():
    watcher = Watch()
    losing = HEALTHY | {"discriminator": 0.01}
    assert len(watch(losing, steps=SILENT, watch=watcher)) == 1
    assert len(watch(losing, first=SILENT, steps=WINDOW, watch=watcher)) == 1


@pytest.mark.parametrize("name", ["discriminator", "share.mel"])
def test_one_bad_step_is_no_notice(name):
    watcher = Watch()
    for step in range(3 * WINDOW):
        assert watcher.after_step(step, HEALTHY | ({name: 0.0} if step % 10 == 0 else {})) == []
