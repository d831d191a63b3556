"""A corpus of tokens in the delay pattern, as MusicGen is trained on [Copet23].

At each step a language model predicts one code of every codebook at once. In the delay pattern codebook q comes q steps
later: so when code q of a frame is predicted, the coarser codes of that frame are known already.
"""

import numpy as np

import minicodec
from minicodec.cli import main
from minicodec.files import data_folder

# What you would type: minicodec codes FOLDER tokens -b 3
assert main(["codes", str(data_folder()), "tokens", "-b", "3", "--jobs", "1"]) == 0

PAD = 1024  # a number that no code has


def delayed(codes: np.ndarray) -> np.ndarray:
    """(frames,levels) -> (frames + levels, levels): the first row starts the sequence."""
    frames, levels = codes.shape
    steps = np.full((frames + levels, levels), PAD)
    for q in range(levels):
        steps[1 + q : 1 + q + frames, q] = codes[:, q]
    return steps


def undelayed(steps: np.ndarray) -> np.ndarray:
    """The inverse, of what a model has written."""
    frames, levels = len(steps) - steps.shape[1], steps.shape[1]
    return np.stack([steps[1 + q : 1 + q + frames, q] for q in range(levels)], axis=1)


for tokens in minicodec.dataset("tokens"):
    steps = delayed(tokens.codes)
    assert np.array_equal(undelayed(steps), tokens.codes)
    print(f"{tokens.file}: {tokens.seconds:.2f} s, {len(steps)} steps of {steps.shape[1]} codes")
print(steps[:5])
