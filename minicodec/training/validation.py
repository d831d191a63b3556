"""Validation: the same few clips, at some bitrates, by measures that do not all fail in the same way.

Mel loss and "every codebook entry is used" also hold of a model that has learned the spectral envelope alone. Such a
model has an SI-SDR far below 0 dB that hardly depends on the bitrate: so look at the lowest and the highest side by
side, and at the model without quantizer, which bounds them.
"""

from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.codec.model import Codec
from minicodec.codec.quantizer import DEAD_SHARE
from minicodec.device import host
from minicodec.metrics import MEL_WINDOWS, entropy, mel_distance, si_sdr, stft_distance
from minicodec.tensor import Tensor, no_grad
from minicodec.training.adversarial import Adversary
from minicodec.training.losses import MelLoss
from minicodec.training.trainer import level

USUAL = 1.5  # kbps: always validated, if on offer


def validate(
    codec: Codec, clips: np.ndarray, mel_loss: MelLoss, adversary: Adversary | None = None
) -> tuple[dict[str, Any], np.ndarray]:
    """Clips (B,T,C) -> figures for the log, and the clips decoded at the highest rate that works so far.

    {"rates": {"unquantized": {"mel": loss, "si_sdr": dB, "mel_distance": dB, "stft_distance": …}, "0.75": …},
    "codebooks": {"used": [share, …], …}, "accuracy": the discriminator's, on those decoded clips}. Bitrates whose
    codebooks are not initialised are left out; with none, the clips come back unquantized. The two distances
    [metrics] need clips of 2048 samples.
    """
    array = xp(codec.quantizer.codebooks)
    kbps = {min(codec.bandwidths), max(codec.bandwidths)} | ({USUAL} & set(codec.bandwidths))
    ready = [rate for rate in sorted(kbps) if codec.config.levels(rate) <= codec.quantizer.ready]
    scale = level(clips) if codec.config.normalize else np.ones((len(clips), 1, 1), np.float32)
    with no_grad():
        originals = Tensor(array.asarray(clips))
        z = codec.encoder(Tensor(array.asarray(clips / scale))).data
        levels = {f"{rate:g}": codec.config.levels(rate) for rate in ready}
        codes = {n: codec.quantizer.encode(z, n) for n in {*levels.values(), codec.quantizer.ready} if ready}
        latents = {"unquantized": z} | {name: codec.quantizer.decode(codes[n]) for name, n in levels.items()}
        rates = {}
        for name, latent in latents.items():
            decoded = host(codec.decoder(Tensor(latent)).data)[:, : clips.shape[1]] * scale
            mel = float(mel_loss(originals, Tensor(array.asarray(decoded))))
            # Channels of a clip one after the other: one signal, one ratio.
            x, y = (signal.transpose(0, 2, 1).reshape(len(clips), -1) for signal in (clips, decoded))
            rates[name] = {"mel": mel, "si_sdr": float(si_sdr(x, y).mean())}
            if clips.shape[1] >= max(MEL_WINDOWS):
                rates[name]["mel_distance"] = mel_distance(x, y, codec.sample_rate)
                rates[name]["stft_distance"] = stft_distance(x, y)
    figures: dict[str, Any] = {"rates": rates}
    if adversary is not None:
        figures["accuracy"] = adversary.accuracy(originals, Tensor(array.asarray(decoded)))
    if ready:
        figures["codebooks"] = codebook_figures(codec, host(codes[codec.quantizer.ready]))
    return figures, decoded


def codebook_figures(codec: Codec, codes: np.ndarray) -> dict[str, list[float]]:
    """Per level: how well the N entries are used. codes (Q,...) are those of the validation clips.

    used          share of the entries that occur in the validation codes; few frames cannot use many
    alive         share of the entries chosen, in training, at least a tenth as often as the mean
    perplexity    of the choices in training, 2^entropy: N if all are equally frequent, 1 if there is only one
    """
    counts = host(codec.quantizer.counts)[: len(codes)]
    return {
        "used": [len(np.unique(level_codes)) / counts.shape[1] for level_codes in codes],
        "alive": (counts >= DEAD_SHARE * counts.mean(axis=1, keepdims=True)).mean(axis=1).tolist(),
        "perplexity": (2 ** entropy(counts)).tolist(),
    }


def summary(figures: dict[str, Any]) -> str:
    """One line for the terminal."""
    parts = []
    for name, measures in figures["rates"].items():
        label = name if name == "unquantized" else f"{name} kbps"
        parts.append(f"{label}: SI-SDR {measures['si_sdr']:.1f} dB, mel {measures['mel']:.2f}")
    if "accuracy" in figures:
        parts.append(f"the discriminator is right about {figures['accuracy']:.0%}")
    if "codebooks" in figures:
        books = figures["codebooks"]
        used, perplexity = (
            " ".join(form.format(x) for x in books[key]) for key, form in (("used", "{:.0%}"), ("perplexity", "{:.0f}"))
        )
        parts.append(f"entries used {used}, perplexity {perplexity}")
    return "; ".join(parts)
