"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case


def shapes(B, T, Ci, H):
    """Of x, w_ih, w_hh, b, h0, c0."""
    return [(B, T, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H)]


CASES = {
    "lstm": [
        Case(shapes(1, 1, 1, 1)),
        Case(shapes(1, 5, 3, 2)),
        Case(shapes(2, 1, 3, 4)),
        Case(shapes(3, 6, 2, 5)),
        Case(shapes(2, 4, 5, 8)),
        Case(shapes(9, 3, 4, 3)),
    ],
}
