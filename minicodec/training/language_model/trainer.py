"""Training a language model of codes: what happens in one step, and the state it changes.

    codes    = batch(step)                            crops (B,Q,T), of as many codebooks as a bandwidth drawn at random
    logits   = lm(START, codes but the last)          every frame is predicted from those before it, all at once
    loss     = mean -log2 p(codes)                    bits per code: what an ideal entropy coder would spend on them
    weights  = AdamW(weights, gradient, shortened to a norm of `clip`)

Attention lets all frames of a crop be predicted in one pass, because the mask hides from each what comes after it. A
crop begins with START and an empty past, as a chunk of a file does.

All that is random in step n comes from generators seeded by (seed, n). A trainer at step n is therefore determined by
its arrays, which `state` lists and a checkpoint holds.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import xp
from minicodec.codec.language_model import START, LanguageModel
from minicodec.codec.model import Codec
from minicodec.device import module as array_module, read
from minicodec.nn.optim import Adam
from minicodec.ranks import ALONE
from minicodec.tensor import Tensor, grad, no_grad, topological_order
from minicodec.training.checkpoint import check_fit
from minicodec.training.language_model.config import LanguageModelRunConfig
from minicodec.training.language_model.initial import initialise
from minicodec.training.learning_rate import warmup_cosine
from minicodec.training.trainer import DivergedError, euclidean_norm

BANDWIDTH = 1  # a stream of random numbers, not 0 [training/trainer.py]
VALIDATION_BATCH = 8  # chunks at a time


class LanguageModelTrainer:
    """A language model in training. `step` counts the updates made; `best` is the lowest validation loss so far."""

    ranks = ALONE

    def __init__(self, run: LanguageModelRunConfig, codec: Codec, device: str = "cpu"):
        self.config, self.codec, self.array = run.training, codec.config, array_module(device)
        rng = np.random.default_rng(self.config.seed)
        self.lm = LanguageModel(run.model, codec=run.codec_name, rng=rng)
        initialise(self.lm, codec.quantizer, rng)
        self.lm.to(device)
        self.optimizer = Adam(
            dict(self.lm.named_parameters()), betas=self.config.betas, weight_decay=self.config.weight_decay
        )
        self.step, self.best = 0, math.inf

    @np.errstate(over="ignore", invalid="ignore")  # no warnings: DivergedError says it, once
    def update(self, codes: np.ndarray) -> dict[str, Any]:
        """One step on codes (B,Q,T) made for `kbps()`, -1 where there are none -> the figures of the log.

        "loss" is bits per code, "bits.6" bits per frame at 6 kbps. DivergedError: the loss or its gradient is no
        finite number; then no weight has changed. On a GPU, figures wait to be read [training/trainer.py].
        """
        config, kbps = self.config, self.kbps()
        levels = self.codec.levels(kbps)
        first, *others = code_bits(self.lm, codes[:, :levels])
        loss = sum(others, first) / levels
        parameters = self.lm.parameters()
        gradients = grad(loss, parameters)
        norm = euclidean_norm(gradients)
        self.optimizer.lr = warmup_cosine(config.lr, self.step, config.steps, config.warmup_steps)
        figures = {"loss": loss.data, f"bits.{kbps:g}": loss.data * levels, "gradient": norm, "lr": self.optimizer.lr}
        if self.array is np:
            (figures,) = read([figures])
            self.check(self.step + 1, figures)
        shorten = self.array.minimum(1, config.clip / self.array.maximum(norm, 1e-12)).astype(np.float32)
        took_part = {id(t) for t in topological_order(loss)}
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * shorten if id(p) in took_part else None  # of a codebook that did not: Adam shall not count it
        self.optimizer.step()
        self.step += 1
        return figures

    def kbps(self) -> float:
        """The bandwidth of the next step."""
        rng = np.random.default_rng([self.config.seed, self.step, BANDWIDTH])
        return float(rng.choice(self.codec.bandwidths))

    def check(self, step: int, figures: Mapping[str, float]) -> None:
        """DivergedError if the figures of this step, as floats, are no finite numbers."""
        if not math.isfinite(figures["loss"]) or not math.isfinite(figures["gradient"]):
            raise DivergedError(f"step {step}: loss {figures['loss']:.4g} bits, gradient {figures['gradient']:.4g}")

    def validate(self, chunks: Mapping[float, np.ndarray]) -> dict[str, dict[str, Any]]:
        """(n,Q,T) for each bandwidth -> {"bits": per frame, "uncompressed": likewise, "codebooks": of each}."""
        figures = {}
        for kbps, of_rate in chunks.items():
            levels = of_rate.shape[1]
            sums, frames = np.zeros(levels), 0
            for i in range(0, len(of_rate), VALIDATION_BATCH):
                part = of_rate[i : i + VALIDATION_BATCH]
                count = int((part[:, 0] >= 0).sum())
                with no_grad():
                    sums += [float(bits) * count for bits in code_bits(self.lm, part)]
                frames += count
            codebooks = (sums / frames).tolist()
            bits = {"bits": sum(codebooks), "uncompressed": levels * self.codec.bits, "codebooks": codebooks}
            figures[f"{kbps:g}"] = bits
        return figures

    def state(self) -> dict[str, dict[str, Any]]:
        """All arrays that determine what follows, by group, for a checkpoint."""
        best = {"loss": np.array(self.best)}
        return {"model": self.lm.state_dict(), "optimizer": self.optimizer.state_dict(), "best": best}

    def restore(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state` gave at a step. ValueError: it belongs to another model."""
        check_fit(self.state(), state)
        self.lm.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = step, float(state["best"]["loss"])


def code_bits(lm: LanguageModel, codes: np.ndarray) -> list[Tensor]:
    """codes (B,Q,T), -1 where there are none -> Q means: the bits that a code of this codebook costs."""
    B, Q, _ = codes.shape
    array = xp(lm.norm_in.weight.data)
    start = np.full((B, Q, 1), START)
    x, _ = lm.features(np.concatenate([start, codes[:, :, :-1] + 1], axis=2), lm.start(B))
    there = codes[:, 0] >= 0
    weights = array.asarray((there / (there.sum() * math.log(2))).astype(np.float32))
    targets = array.asarray(np.maximum(codes, 0))
    return [(F.cross_entropy(lm.outputs[q](x), targets[:, q]) * weights).sum() for q in range(Q)]
