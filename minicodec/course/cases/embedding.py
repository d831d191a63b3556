"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, indices, normal

CASES = {
    "embedding": [
        Case([(4, 3), (2, 5)], draws=[normal, indices(4)]),  # 10 indices of 4: some are repeated
        Case([(6, 2), (3,)], draws=[normal, indices(6)]),
        Case([(3, 4), ()], draws=[normal, indices(3)]),
        Case([(5, 2), (2, 3, 2)], draws=[normal, indices(5)]),
    ],
}
