"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

CASES = {
    "conv2d": [
        Case([(1, 5, 6, 1), (3, 3, 1, 1)]),
        Case([(2, 5, 7, 3), (3, 4, 3, 2)]),
        Case([(2, 5, 7, 2), (3, 3, 2, 3)], {"padding": (1, 2)}),
        Case([(2, 4, 11, 2), (2, 5, 2, 2)], {"stride": (1, 2), "padding": (0, 2)}),
        Case([(1, 9, 5, 2), (3, 2, 2, 3)], {"dilation": (4, 1), "padding": (4, 0)}),
        Case([(2, 7, 12, 2), (2, 3, 2, 1)], {"stride": (3, 2), "dilation": (2, 3), "padding": (1, 1)}),
        Case([(1, 6, 9, 2), (3, 9, 2, 2)], {"stride": (1, 2), "dilation": (2, 1), "padding": (2, 4)}),
        Case([(2, 3, 4, 2), (1, 1, 2, 3)]),
    ],
    "conv2d_leaky_relu": [
        Case([(2, 5, 7, 2), (3, 3, 2, 3), (3,)], {"padding": (1, 2)}),
        Case([(2, 4, 11, 2), (2, 5, 2, 2), (2,)], {"slope": 0.1, "stride": (1, 2), "padding": (0, 2)}),
        Case([(1, 9, 5, 2), (3, 2, 2, 9), (9,)], {"dilation": (4, 1), "padding": (4, 0)}),
        Case([(2, 7, 12, 2), (2, 3, 2, 1), (1,)], {"stride": (3, 2), "dilation": (2, 3), "padding": (1, 1)}),
    ],
}
