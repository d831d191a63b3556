"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

CASES = {
    "matmul": [
        Case([(3, 4), (4, 5)]),
        Case([(2, 3, 4), (2, 4, 5)]),
        Case([(2, 3, 4), (4, 5)]),
        Case([(3, 1, 2, 4), (2, 4, 1)]),
    ],
    "linear": [Case([(5, 3), (3, 4)]), Case([(2, 5, 3), (3, 1)]), Case([(3,), (3, 4)])],
}
