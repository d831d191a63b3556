"""Cases of these ops; see minicodec/course/cases/__init__.py."""

from minicodec.course.cases import Case, away_from_zero, positive

ACTIVATIONS = [Case([(2, 3, 5)], draws=away_from_zero), Case([(7,)], draws=away_from_zero, seed=1)]


def far_out(rng, shape):
    """Up to ±20, where one side of an activation is flat."""
    return 10 * away_from_zero(rng, shape)


CASES = {
    "elu": [*ACTIVATIONS, Case([(3, 6)], draws=far_out)],
    "leaky_relu": [*ACTIVATIONS, Case([(3, 5)], {"slope": 0.1}, away_from_zero)],
    "tanh": ACTIVATIONS,
    "sigmoid": [*ACTIVATIONS, Case([(3, 6)], draws=far_out)],
    "gelu": [*ACTIVATIONS, Case([(3, 6)], draws=far_out)],
    "exp": [Case([(2, 3, 4)])],
    "log": [Case([(2, 3, 4)], draws=positive)],
    "sqrt": [Case([(2, 3, 4)], draws=positive)],
    "abs": [Case([(2, 3, 4)], draws=away_from_zero)],
    "companding": [
        Case([(2, 3, 5)], {"power": 0.75, "smoothing": 0.01}),
        Case([(3, 6)], {"power": 4 / 3, "smoothing": 0.1}, seed=1),
        Case([(9,)], {"power": 0.75, "smoothing": 0.5}, lambda rng, shape: rng.normal(size=shape) * 0.1),
    ],
    "clamp_min": [Case([(2, 3, 4)], {"floor": 0.0}, away_from_zero), Case([(9,)], {"floor": 1e-5}, away_from_zero)],
}
