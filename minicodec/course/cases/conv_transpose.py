"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

CASES = {
    "conv_transpose1d": [
        Case([(1, 1, 1), (1, 1, 1)]),
        Case([(2, 5, 3), (3, 3, 4)]),
        Case([(1, 1, 2), (4, 2, 3)], {"stride": 2}),  # one window only
        Case([(2, 5, 3), (4, 3, 2)], {"stride": 2}),  # k = 2s, the codec's upsampling: every frame has two windows
        Case([(3, 4, 2), (5, 2, 3)], {"stride": 2}),  # K is no multiple of the stride
        Case([(2, 4, 3), (3, 3, 2)], {"stride": 3}),  # windows side by side
        Case([(2, 4, 2), (2, 2, 3)], {"stride": 5}),  # frames between the windows stay 0
        Case([(1, 5, 7), (10, 7, 5)], {"stride": 5}),
    ],
}
