"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

CASES = {
    "pad1d": [
        Case([(2, 5, 3)], {"left": 2, "right": 1}),
        Case([(1, 4, 2)], {"left": 0, "right": 3, "mode": "zero"}),
        Case([(2, 5, 3)], {"left": 3, "right": 2, "mode": "reflect"}),
        Case([(1, 4, 1)], {"left": 3, "right": 3, "mode": "reflect"}),  # as much as a mirror can show; two images each
        Case([(2, 4, 2)], {"left": 4, "right": 0, "mode": "reflect"}),  # one frame too short
        Case([(2, 2, 3)], {"left": 5, "right": 3, "mode": "reflect"}),  # much too short
        Case([(1, 1, 2)], {"left": 1, "right": 4, "mode": "reflect"}),
        Case([(2, 3, 2)], {"left": 0, "right": 0, "mode": "reflect"}),
    ],
}
