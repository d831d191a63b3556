"""Train with a loss of your own, stop, and go on.

Here: the loudness in blocks of 10 ms, in logarithms, so that pauses stay pauses. How it works together with the other
losses, and how to bring a discriminator: minicodec/training/own.py.
"""

from pathlib import Path

from minicodec import functional as F
from minicodec.files import data_folder
from minicodec.tensor import Tensor
from minicodec.training import config, run

BLOCK = 240  # samples


def loudness(x: Tensor) -> Tensor:
    """x (B,T,C) -> log of the power in each block (B,T/BLOCK,C)."""
    B, T, C = x.shape
    blocks = x[:, : T // BLOCK * BLOCK].reshape(B, T // BLOCK, BLOCK, C)
    return F.log((blocks * blocks).mean(axis=2) + 1e-6)


def loudness_loss(x: Tensor, decoded: Tensor) -> Tensor:
    """The original (B,T,C), a constant, and the decoded -> a scalar."""
    return F.l1_loss(loudness(decoded), loudness(x))


losses = {"loudness": (0.5, loudness_loss)}  # name -> weight, function
few = ["steps=4", "batch=2", "log_every=1", "validate_every=4", "checkpoint_every=2", "valid_clips=1", "valid_seconds=1.0"]
recipe = config.from_preset("tiny_24khz", str(data_folder()), few)  # without `few`: 3000 steps

folder = Path("runs/loudness")
training = run.start(folder, config.with_steps(recipe, 2), losses=losses)
training.train()
training = run.resume(folder, steps=4, losses=losses)  # bit for bit as if it had never stopped
training.train()
print(training)
