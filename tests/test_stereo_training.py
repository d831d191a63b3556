"""A training on stereo: the losses, the adversary and the validation see both channels, also of a single item."""

import numpy as np
import pytest
import soundfile

from minicodec.tensor import Tensor
from minicodec.training import config, run as runs
from minicodec.training.discriminator import MultiScaleSTFTDiscriminator
from minicodec.training.losses import MelLoss
from tests.small_run import SETTINGS

STEREO = ["channels=2", "batch=1", "steps=14", "adversary.enabled=true", "adversary.filters=2"]
STEREO += ["adversary.windows=[256]", "adversary.start=2"]


@pytest.mark.parametrize("batch", [1, 2])
def test_channels_are_judged_as_if_they_were_items(batch, rng):
    x = (0.1 * rng.normal(size=(batch, 2000, 2))).astype(np.float32)
    one_by_one = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(2 * batch, 2000, 1)
    discriminator, mel_loss = MultiScaleSTFTDiscriminator((256,), 2, rng=rng), MelLoss(24_000, (128, 512))
    together, apart = discriminator(Tensor(x)), discriminator(Tensor(one_by_one))
    np.testing.assert_array_equal(together.logits[0].data, apart.logits[0].data)
    losses = [mel_loss(Tensor(signal), Tensor(signal * np.float32(0.5))) for signal in (x, one_by_one)]
    assert float(losses[0]) == float(losses[1])


def test_a_training_with_one_item_and_one_clip(tmp_path):
    data = tmp_path / "stereo"
    data.mkdir()
    t = np.arange(48_000) / 24_000
    for i in range(3):
        both = [0.2 * np.sin(2 * np.pi * f * t) for f in (300 + 100 * i, 500 + 70 * i)]
        soundfile.write(data / f"{i}.wav", np.stack(both, axis=1), 24_000)
    run = runs.start(tmp_path / "run", config.from_preset("tiny_24khz", str(data), [*SETTINGS, *STEREO]))
    assert run.train()
    figures = run.log.read()[-1]
    assert set(figures["rates"]) == {"unquantized", "0.3", "0.6"}
    assert all(np.isfinite(list(rate.values())).all() for rate in figures["rates"].values())
    assert 0 <= figures["accuracy"] <= 1
    for name in ("original", "0.6kbps"):
        wav, _ = soundfile.read(tmp_path / "run/samples/step-00000014" / f"clip1_{name}.wav")
        assert wav.shape == (6000, 2)
        assert np.abs(wav[:, 0] - wav[:, 1]).max() > 0
