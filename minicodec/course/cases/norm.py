"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, normal, positive

CASES = {
    "weight_norm": [
        Case([(3, 4, 5), (1, 1, 5)], {"axis": 2}, [normal, positive]),
        Case([(3, 4, 5), (1, 4, 1)], {"axis": 1}, [normal, positive]),
        Case([(2, 3, 2, 4), (1, 1, 1, 4)], {"axis": -1}, [normal, positive]),
    ],
    "layer_norm": [Case([(2, 3, 5), (5,), (5,)]), Case([(4, 7), (7,), (7,)], {"eps": 0.1})],
    "group_norm": [
        Case([(2, 4, 3), (3,), (3,)]),
        Case([(1, 5, 1), (1,), (1,)], {"eps": 0.1}),
        Case([(2, 3, 6), (6,), (6,)], {"groups": 3}),
    ],
}
