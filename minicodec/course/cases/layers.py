"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, away_from_zero, normal

DRAWS = [away_from_zero, normal, normal]  # ELU's second derivative has a jump at 0

UNIT = [away_from_zero, *[normal] * 6]


def unit(B, T, K, C, H):
    """Shapes of x and of the weights and biases of a residual unit."""
    return [(B, T, C), (K, C, H), (H,), (1, H, C), (C,), (1, C, C), (C,)]


CASES = {
    "conv1d_layer": [
        Case([(2, 9, 3), (3, 3, 4), (4,)], {"left": 2}, DRAWS),
        Case([(2, 8, 3), (3, 3, 17), (17,)], {"left": 4, "dilation": 2, "mode": "reflect"}, DRAWS),
        Case([(2, 8, 3), (4, 3, 5), (5,)], {"stride": 2, "left": 2, "mode": "reflect"}, DRAWS),
        Case([(1, 5, 2), (4, 2, 3), (3,)], {"stride": 2, "left": 1, "right": 2, "mode": "reflect"}, DRAWS),
        Case([(2, 4, 2), (7, 2, 1), (1,)], {"left": 6, "mode": "reflect"}, DRAWS),  # a frame is seen several times
        Case([(2, 11, 2), (4, 2, 3), (3,)], {"stride": 3, "left": 2}, DRAWS),  # the last frame belongs to no window
        Case([(2, 9, 2), (3, 2, 3), (3,)], {"stride": 2, "dilation": 2, "left": 1}, DRAWS),
        Case([(3, 6, 4), (1, 4, 5), (5,)], {"elu": False}),
        Case([(2, 6, 1), (7, 1, 4), (4,)], {"elu": False, "left": 4, "right": 2, "mode": "reflect"}),
    ],
    "residual_unit": [
        Case(unit(2, 9, 3, 4, 2), {"left": 2, "right": 0}, UNIT),
        Case(unit(3, 7, 3, 5, 3), {"left": 4, "right": 0, "dilation": 2, "mode": "reflect"}, UNIT),
        Case(unit(1, 8, 4, 3, 5), {"left": 2, "right": 1, "mode": "reflect"}, UNIT),
        Case(unit(4, 5, 1, 2, 1), {"left": 0, "right": 0}, UNIT),
    ],
    "conv_transpose1d_layer": [
        Case([(2, 5, 3), (4, 3, 2), (2,)], {"stride": 2, "right": 2}, DRAWS),  # as a causal decoder's
        Case([(2, 4, 3), (10, 3, 4), (4,)], {"stride": 5, "left": 3, "right": 2}, DRAWS),
        Case([(3, 4, 2), (5, 2, 3), (3,)], {"stride": 2, "left": 1}, DRAWS),  # K is no multiple of the stride
        Case([(1, 3, 2), (3, 2, 17), (17,)], {}, DRAWS),
        Case([(2, 5, 3), (4, 3, 2), (2,)], {"stride": 2, "right": 5}, DRAWS),  # the last frames leave nothing
        Case([(2, 5, 3), (5, 3, 2), (2,)], {"stride": 1, "left": 1, "right": 7}, DRAWS),
        Case([(2, 4, 3), (2, 3, 2), (2,)], {"stride": 3, "left": 1, "right": 4}, DRAWS),  # frames that none has met
    ],
}
