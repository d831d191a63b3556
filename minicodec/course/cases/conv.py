"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

CASES = {
    "conv1d": [
        Case([(1, 7, 1), (3, 1, 1)]),
        Case([(2, 9, 3), (3, 3, 4)]),
        Case([(2, 5, 3), (5, 3, 2)]),  # one window only
        Case([(2, 11, 3), (4, 3, 5)], {"stride": 2}),  # windows overlap; the last frame belongs to none
        Case([(2, 11, 2), (2, 2, 3)], {"stride": 3}),  # frames between the windows are never seen
        Case([(2, 12, 3), (3, 3, 2)], {"dilation": 4}),
        Case([(3, 15, 2), (3, 2, 3)], {"stride": 2, "dilation": 3}),
        Case([(2, 6, 3), (1, 3, 4)]),
        Case([(2, 17, 5), (8, 5, 7)], {"stride": 4}),
    ],
}
