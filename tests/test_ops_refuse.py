"""Arguments that an op must refuse, because NumPy would take them and compute something else."""

import numpy as np
import pytest

from minicodec.ops.embedding import embedding_forward
from minicodec.ops.linear import matmul_forward
from minicodec.ops.norm import group_norm_forward
from minicodec.ops.padding import pad1d_forward
from minicodec.ops.softmax_cross_entropy import softmax_cross_entropy_forward
from minicodec.ops.weight_norm import weight_norm_forward


@pytest.mark.parametrize("bad", [-1, 5])
def test_indices_out_of_range(bad):
    """NumPy reads -1 as the last row; PyTorch's users write -100 for a target to ignore."""
    with pytest.raises(ValueError, match=r"not in \[0, 5\)"):
        embedding_forward(np.zeros((5, 2)), np.array([0, bad]))
    with pytest.raises(ValueError, match=r"not in \[0, 5\)"):
        softmax_cross_entropy_forward(np.zeros((2, 5)), np.array([0, bad]))


@pytest.mark.parametrize("attrs", [{"left": -1, "right": 0}, {"left": 0, "right": -2}])
def test_negative_padding(attrs):
    with pytest.raises(ValueError, match="must not be negative"):
        pad1d_forward(np.zeros((1, 4, 2)), **attrs)


def test_unknown_padding_mode():
    with pytest.raises(ValueError, match="no mode called 'circular'"):
        pad1d_forward(np.zeros((1, 4, 2)), left=1, right=1, mode="circular")


@pytest.mark.parametrize(("a", "b"), [((3,), (3, 2)), ((2, 3), (3,))])
def test_matmul_of_vectors(a, b):
    with pytest.raises(ValueError, match="at least 2 axes"):
        matmul_forward(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("g", [(1, 1, 4), (1, 3, 1), (4,), (1, 1, 1)])
def test_weight_norm_whose_g_would_broadcast(g):
    with pytest.raises(ValueError, match="does not fit"):
        weight_norm_forward(np.ones((2, 3, 4)), np.ones(g), axis=1 if g == (1, 1, 4) else 2)


def test_channels_that_do_not_divide_into_groups():
    with pytest.raises(ValueError, match="7 channels do not divide into 2 groups"):
        group_norm_forward(np.zeros((1, 4, 7)), np.ones(7), np.zeros(7), groups=2)
