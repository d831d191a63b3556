"""Training on the GPU: the same steps as on the CPU, in which Python never waits for the device.

From one state, a step is made here and there: everything that it changes must be the same, up to rounding.
"""

import numpy as np
import pytest

from minicodec.device import host, read
from minicodec.training import config
from minicodec.training.trainer import Trainer

ADVERSARY = ["adversary.enabled=true", "adversary.filters=2", "adversary.windows=[256,128]", "adversary.probability=1"]
SETTINGS = [
    "seanet.filters=4", "seanet.latent=8", "quantizer.levels=2", "quantizer.entries=16", "bandwidths=[0.3,0.6]",
    "warmup_steps=2", "lr=3e-3", "loss.mel_windows=[128,512]", "adversary.start=8", *ADVERSARY,
]  # fmt: skip
FIRST, SECOND, FULL = 4, 7, 13  # k-means starts the first codebook, the second; a step with all there is


def recipe(*more):
    return config.from_preset("tiny_24khz", ".", [*SETTINGS, *more])


def audio(step, batch=2, T=2000):
    """Chords (B,T,1), others in each step."""
    rng = np.random.default_rng(step)
    t, notes = np.arange(T) / 24_000, rng.uniform(100, 4000, (batch, 4, 1))
    return (0.1 * np.sin(2 * np.pi * notes * t).sum(axis=1))[:, :, None].astype(np.float32)


@pytest.fixture(scope="module")
def states():
    """The states of a training on the CPU: {step: arrays}."""
    trainer, states = Trainer(recipe()), {}
    for step in range(FULL + 1):
        copied = {group: {k: np.array(v) for k, v in arrays.items()} for group, arrays in trainer.state().items()}
        states[step] = copied
        trainer.update(audio(step))
    return states


def differences(here, there):
    """(name, relative error) of the arrays of two states, the worst first."""
    errors = []
    for group, arrays in here.items():
        for name, a in arrays.items():
            a, b = np.asarray(a, np.float64), np.asarray(host(there[group][name]), np.float64)
            assert a.shape == b.shape, name
            a, b = (np.where(np.isinf(x), 1e9, x) for x in (a, b))  # the best loss before there is one
            errors.append((np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-12), f"{group}.{name}"))
    return sorted(errors, reverse=True)


@pytest.mark.parametrize("step", [0, FIRST, SECOND, FULL])
def test_a_step_is_the_same(states, step, gpu, no_host_reads):
    here, there = Trainer(recipe()), Trainer(recipe(), "gpu")
    for trainer in (here, there):
        trainer.restore(step, states[step])
        if step == FULL:
            trainer.codec.quantizer.counts[0, 2:5] = 0  # dead: they come back to life
    figures = here.update(audio(step))
    with no_host_reads():
        unread = there.update(audio(step))
    (read_there,) = read([unread])
    assert figures.keys() == read_there.keys()
    for name, value in figures.items():
        assert read_there[name] == pytest.approx(value, rel=1e-3), name
    error, name = differences(here.state(), there.state())[0]
    assert error < 1e-3, name
    quantizer = here.codec.quantizer
    assert quantizer.updates.tolist() == {0: [0, 0], FIRST: [1, 0], SECOND: [4, 1], FULL: [10, 6]}[step]
    assert step < FULL or (quantizer.counts[0, 2:5] > 0).all()
    assert ("adversarial" in figures) == (step == FULL)
