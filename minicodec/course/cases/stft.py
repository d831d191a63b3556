"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case

TRANSFORMS = [
    Case([(1, 8)], {"n_fft": 8, "hop": 2}),  # one frame
    Case([(2, 29)], {"n_fft": 8, "hop": 2}),  # four windows see each sample; the last sample is in none
    Case([(2, 30)], {"n_fft": 8, "hop": 2, "normalized": True}),
    Case([(1, 37)], {"n_fft": 12, "hop": 5}),  # hop does not divide n_fft
    Case([(3, 24)], {"n_fft": 6, "hop": 6}),  # windows side by side
    Case([(2, 33)], {"n_fft": 6, "hop": 9, "normalized": True}),  # samples between the windows are never seen
    Case([(2, 21)], {"n_fft": 7, "hop": 3}),  # odd n_fft: no Nyquist bin
]

CASES = {"stft": TRANSFORMS, "stft_magnitude": TRANSFORMS}
