"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, indices, normal

CASES = {
    "softmax": [Case([(2, 3, 5)]), Case([(4,)])],
    "softmax_cross_entropy": [
        Case([(2, 3, 5), (2, 3)], draws=[normal, indices(5)]),
        Case([(6, 3), (6,)], draws=[normal, indices(3)]),
        Case([(4,), ()], draws=[normal, indices(4)]),
    ],
}
