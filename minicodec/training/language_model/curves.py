"""The picture of a language model's training: bits per code, in training and on held-out files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.files import write_atomically
from minicodec.training.curves import CODEBOOKS, RATES


def draw(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the log: above, what each bandwidth's codes cost, as a share of the uncompressed; below, each codebook's."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    training = [line for line in log if "loss" in line]
    validation = [line["valid"] | {"step": line["step"]} for line in log if "valid" in line]
    figure = Figure(figsize=(9, 8), layout="constrained")
    rates, codebooks = figure.subplots(2, 1, sharex=True)
    steps = [line["step"] for line in validation]
    names = [name for name in validation[-1] if name != "step"]
    for kbps, colour in zip(names, colormaps[RATES](np.linspace(0.4, 1, len(names))), strict=True):
        full = validation[-1][kbps]["uncompressed"]
        seen = [line for line in training if f"bits.{kbps}" in line]
        shares = [line[f"bits.{kbps}"] / full for line in seen]
        rates.plot([line["step"] for line in seen], shares, color=colour, lw=0.5, alpha=0.6)
        held_out = [line[kbps]["bits"] / full for line in validation]
        rates.plot(steps, held_out, "o-", ms=5, color=colour, label=f"{kbps} kbps, {full} bits")
    highest = kbps
    colours = colormaps[CODEBOOKS](np.linspace(0.3, 1, len(validation[-1][highest]["codebooks"])))
    for q, colour in enumerate(colours):
        bits = [line[highest]["codebooks"][q] for line in validation]
        codebooks.plot(steps, bits, "o-", ms=5, color=colour, label=f"codebook {q + 1}")
    rates.set(title="bits per frame (thin: training; dots: held-out files)", ylabel="share of the uncompressed")
    codebooks.set(title=f"held-out files at {highest} kbps", ylabel="bits per code", xlabel="step")
    for axes in (rates, codebooks):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, 1.03 * max(line["step"] for line in log))  # one validation is a point at its step, not a line
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    with write_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110)
