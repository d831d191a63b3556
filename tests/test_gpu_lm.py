"""The language model's training on the GPU: the same steps as on the CPU."""

import numpy as np
import pytest

from minicodec.codec.model import Codec
from minicodec.device import read
from minicodec.training.config import from_preset
from minicodec.training.language_model import config
from minicodec.training.language_model.trainer import LanguageModelTrainer
from tests.test_gpu_training import differences

SIZES = ["model.D=16", "model.layers=1", "model.heads=2", "model.hidden=24", "warmup_steps=2"]


@pytest.fixture(scope="module")
def codec():
    settings = ["quantizer.levels=2", "quantizer.entries=16", "bandwidths=[0.3,0.6]"]
    return Codec(from_preset("tiny_24khz", ".", settings).model)


def trainer(codec, device):
    return LanguageModelTrainer(config.for_codec("model", codec, "data", SIZES), codec, device)


def batch(step):
    """(B,Q,T), the last frames of one crop missing."""
    codes = np.random.default_rng(step).integers(16, size=(2, 2, 12))
    codes[1, :, 9:] = -1
    return codes


def test_a_step_is_the_same(codec, gpu, no_host_reads):
    here, there = trainer(codec, "cpu"), trainer(codec, "gpu")
    for step in range(3):
        here.update(batch(step))
    there.restore(here.step, here.state())
    figures = here.update(batch(3))
    with no_host_reads():
        unread = there.update(batch(3))
    (read_there,) = read([unread])
    assert read_there == pytest.approx(figures, rel=1e-4)
    error, name = differences(here.state(), there.state())[0]
    assert error < 1e-3, name


def test_validation_is_the_same(codec, gpu):
    here, there = trainer(codec, "cpu"), trainer(codec, "gpu")
    chunks = {kbps: batch(0)[:, : codec.config.levels(kbps)] for kbps in codec.bandwidths}
    for kbps, expected in here.validate(chunks).items():
        np.testing.assert_allclose(there.validate(chunks)[kbps]["codebooks"], expected["codebooks"], rtol=1e-5)
