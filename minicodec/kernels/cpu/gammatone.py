"""The filter bank of ViSQOL's spectrogram, compiled. What it is: evaluation/visqol/gammatone.py."""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled


def energies(frames, b1, a):
    """Frames (To,N) -> energy of each, filtered by four biquads in a row without their gain, (To,F)."""
    F = b1.shape[1]
    energies = np.zeros((len(frames), F))
    _add_energies(frames, b1, a, energies, np.empty((9, F)))
    return energies


@compiled
def _add_energies(frames, b1, a, energies, room):
    """The loops; energies come as zeros, room is for nine numbers a band.

    The biquads are in transposed direct form II, with the states z0 and z1.
    """
    To, N = frames.shape
    F = b1.shape[1]
    x, z0, z1 = room[8], room[:4], room[4:8]
    for t in range(To):
        room[:8] = 0  # at rest
        for n in range(N):
            x[:] = frames[t, n]
            for k in range(4):
                for f in range(F):
                    y = x[f] + z0[k, f]
                    z0[k, f] = b1[k, f] * x[f] - a[0, f] * y + z1[k, f]
                    z1[k, f] = -a[1, f] * y
                    x[f] = y  # the input of the next section
            for f in range(F):
                energies[t, f] += x[f] * x[f]
