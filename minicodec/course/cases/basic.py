"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, away_from_zero, normal, positive


def close_to_zero(rng, shape):
    """|x| <= 0.05: no nearer than that to what is `away_from_zero`."""
    return rng.uniform(-0.05, 0.05, size=shape)


CASES = {
    "add": [Case([(2, 3), (2, 3)]), Case([(2, 3, 4), (4,)]), Case([(3, 1), (2, 1, 5)]), Case([(2, 3), ()])],
    "sub": [Case([(2, 3), (2, 3)]), Case([(4,), (2, 3, 4)]), Case([(3, 1), (2, 1, 5)]), Case([(), (2, 3)])],
    "mul": [Case([(2, 3), (2, 3)]), Case([(2, 3, 4), (4,)]), Case([(3, 1), (2, 1, 5)]), Case([(2, 3), ()])],
    "div": [
        Case([(2, 3), (2, 3)], draws=[normal, positive]),
        Case([(4,), (2, 3, 4)], draws=[normal, positive]),
        Case([(2, 1, 5), (3, 1)], draws=[normal, positive]),
    ],
    "neg": [Case([(2, 3)]), Case([()])],
    "power": [Case([(2, 3)], {"exponent": 2}), Case([(5,)], {"exponent": -0.5}, positive)],
    "l1_distance": [
        Case([(2, 3, 4), (2, 3, 4)], draws=[away_from_zero, close_to_zero]),
        Case([(5,), (5,)], draws=[close_to_zero, away_from_zero]),
    ],
    "sum": [
        Case([(2, 3, 4)]),
        Case([(2, 3, 4)], {"axis": 1}),
        Case([(2, 3, 4)], {"axis": (0, -1)}),
        Case([(2, 3, 4)], {"axis": -1, "keepdims": True}),
    ],
    "mean": [
        Case([(2, 3, 4)]),
        Case([(2, 3, 4)], {"axis": 1}),
        Case([(2, 3, 4)], {"axis": (0, -1)}),
        Case([(2, 3, 4)], {"axis": -1, "keepdims": True}),
    ],
    "reshape": [Case([(2, 3, 4)], {"shape": (6, 4)}), Case([(2, 3, 4)], {"shape": (3, -1)})],
    "transpose": [Case([(2, 3, 4)], {"axes": (1, 2, 0)}), Case([(2, 3, 4)], {"axes": (0, -1, 1)})],
    "getitem": [
        Case([(5, 4)], {"index": 1}),
        Case([(5, 4)], {"index": (slice(None), slice(1, 4, 2))}),
        Case([(5, 4)], {"index": (slice(None, None, -1), None, 2)}),
    ],
    "concatenate": [Case([(2, 3), (2, 1), (2, 4)], {"axis": 1}), Case([(1, 3), (2, 3)], {"axis": 0})],
}
