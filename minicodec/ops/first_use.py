"""What a second process compiles, at somebody's first use, while the first compiles the rest: see jit.py.

That is the LSTM's loops, the products for gradients of weights and what a step of training does last, which take about
as long as all else. To have them compiled and kept for arguments of the right types, they are called, on a frame of
zeros; in the order in which they will be needed.
"""

import numpy as np

from minicodec.ops.activations import leaky_relu_forward_numba
from minicodec.ops.engine import multiply_transposed
from minicodec.ops.l1_distance import l1_distance_backward_fast
from minicodec.ops.lstm import all_frames, as_panels, lstm_backward_numba

frame, w, state = np.zeros((1, 1, 4), np.float32), np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32)
y = all_frames(frame, as_panels(w, 4, 1), state, state)
multiply_transposed(frame, frame, taps=1, P=4, batch_step=0, row_step=4)
lstm_backward_numba(y, (state[None], w, w, state, state, frame, y), needs=(False,) * 6)
leaky_relu_forward_numba(frame, slope=0.2)
l1_distance_backward_fast(np.float32(0), (frame, frame))
