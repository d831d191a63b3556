"""Draw codec.png, the first picture of the README and of the book: `python chapters/book/picture.py`.

What goes in, what is sent, and what comes out, of the model that comes with minicodec.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import ConnectionPatch

import minicodec
from minicodec import audio
from minicodec.course.show import spectrogram
from minicodec.files import data_folder

CLIP, SECONDS, KBPS = "speech_en_2.flac", 2.0, 6.0
SHOWN = 40  # frames of codes, so that single numbers can be seen


def main() -> None:
    """Encode, decode, draw."""
    codec = minicodec.load()
    wav, rate = audio.read(data_folder() / CLIP, frames=round(SECONDS * codec.sample_rate))
    (chunk,) = codec.encode(wav, kbps=KBPS)
    decoded = codec.decode([chunk])
    levels, frames = chunk.codes.shape

    figure = Figure(figsize=(10, 3.4), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 0.93)))  # above: what happens
    before, sent, after = figure.subplots(1, 3, width_ratios=(1, 1.15, 1))
    spectrogram(before, wav[0], rate, f"speech: {16 * rate / 1000:g} kbit/s", window=512)
    spectrogram(after, decoded[0], rate, "what comes back", window=512)
    after.set_ylabel("")
    first = frames // 3
    sent.imshow(chunk.codes[:, first : first + SHOWN], cmap="viridis", aspect="auto", interpolation="nearest")
    sent.set(
        title=f"what is sent: {KBPS:g} kbit/s", xlabel=f"time: {codec.frame_rate:g} columns a second",
        ylabel="codebook", yticks=range(levels), yticklabels=range(1, levels + 1), xticks=[],
    )  # fmt: skip
    sent.text(0.5, 1.16, f"{levels} numbers of 10 bits a column", transform=sent.transAxes, ha="center", color="#555")
    for left, right, name in ((before, sent, "encoder"), (sent, after, "decoder")):
        arrow = ConnectionPatch((0.95, 1.19), (0.05, 1.19), left.transAxes, right.transAxes, arrowstyle="-|>", lw=1.5)
        arrow.set_in_layout(False)
        figure.add_artist(arrow)
        label = left.text(1.11, 1.23, name, transform=left.transAxes, ha="center", weight="bold")
        label.set_in_layout(False)
    figure.savefig(Path(__file__).parent / "codec.png", dpi=110)
    print(np.unique(chunk.codes).size, "different codes in", frames, "frames")


if __name__ == "__main__":
    main()
