"""Exercises for students: write an operator yourself, have it judged, and run the codec on it.

    from minicodec.course import check, exercise

    @exercise
    def conv1d_backward(dy, saved, *, stride=1, dilation=1):
        raise NotImplementedError

    check(conv1d_backward)

Until it is written, the library's function stands in for it, so whatever follows in the chapter runs. `check` judges it
by the cases that the library itself is tested on, and answers in words. Once right, it is part of the backend
"student": `with use("student"): ...` runs the codec on the reader's own operators.
"""

from minicodec.course.student import (
    check as check,
    exercise as exercise,
    library as library,
    mine as mine,
    yours as yours,
)
