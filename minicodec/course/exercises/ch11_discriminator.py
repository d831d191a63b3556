"""Chapter 11: 2-D convolution, and what the two players minimise."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import conv2d as library


def _flipped(x, w, **attrs):
    return library.conv2d_forward(x, w[::-1, ::-1], **attrs)


def _time_for_frequency(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    return library.conv2d_forward(x, w, stride=stride[::-1], dilation=dilation[::-1], padding=padding[::-1])


def _frequency_alone(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    y = library.conv2d_forward(x, w, stride=(1, stride[1]), dilation=(1, dilation[1]), padding=padding)[0]
    shape = library.conv2d_forward(x, w, stride=stride, dilation=dilation, padding=padding)[0].shape
    return y[:, : shape[1]]


def _padded_behind(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    pt, pf = padding
    padded = np.pad(x, ((0, 0), (0, 2 * pt), (0, 2 * pf), (0, 0)))
    return library.conv2d_forward(padded, w, stride=stride, dilation=dilation)


def _assigned(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    padded, w = saved
    dw = library.conv2d_backward(dy, saved, stride=stride, dilation=dilation, padding=padding)[1]
    dpadded, (To, Fo) = np.zeros_like(padded), dy.shape[1:3]
    for k in range(w.shape[0]):
        for m in range(w.shape[1]):
            library.bins_of_tap(dpadded, k, m, To, Fo, stride, dilation)[...] = dy @ w[k, m].T
    (pt, pf), (T, F) = padding, padded.shape[1:3]
    return dpadded[:, pt : T - pt, pf : F - pf], dw


def _flipped_in_dx(dy, saved, **attrs):
    padded, w = saved
    dx, _ = library.conv2d_backward(dy, (padded, w[::-1, ::-1]), **attrs)
    return dx, library.conv2d_backward(dy, saved, **attrs)[1]


def _not_cut(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    return library.conv2d_backward(dy, saved, stride=stride, dilation=dilation)


def _dw_of_one_item(dy, saved, **attrs):
    padded, w = saved
    return library.conv2d_backward(dy, saved, **attrs)[0], library.conv2d_backward(dy[:1], (padded[:1], w), **attrs)[1]


def hinge_backward(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """real (*r), fake (*f) -> dreal (*r), dfake (*f): the gradients of mean max(0, 1 - real) + mean max(0, 1 + fake).

    real: what the discriminator said to recordings, fake: to decodings. Two means, each over its own entries.
    """
    return np.where(real < 1, -1 / real.size, 0.0), np.where(fake > -1, 1 / fake.size, 0.0)


def _no_means(real, fake):
    return np.where(real < 1, -1.0, 0.0), np.where(fake > -1, 1.0, 0.0)


def _one_mean(real, fake):
    n = real.size + fake.size
    return np.where(real < 1, -1 / n, 0.0), np.where(fake > -1, 1 / n, 0.0)


def _no_margin(real, fake):
    return np.where(real < 0, -1 / real.size, 0.0), np.where(fake > 0, 1 / fake.size, 0.0)


def _always(real, fake):
    return np.full(real.shape, -1 / real.size), np.full(fake.shape, 1 / fake.size)


def _upside_down(real, fake):
    dreal, dfake = hinge_backward(real, fake)
    return -dreal, -dfake


def least_squares_backward(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """real (*r), fake (*f) -> dreal (*r), dfake (*f): the gradients of mean (1 - real)² + mean (1 + fake)².

    real: what the discriminator said to recordings, fake: to decodings. Two means, each over its own entries.
    """
    return -2 * (1 - real) / real.size, 2 * (1 + fake) / fake.size


def _factor_two_lost(real, fake):
    return (real - 1) / real.size, (1 + fake) / fake.size


def _squares_in_one_mean(real, fake):
    n = real.size + fake.size
    return -2 * (1 - real) / n, 2 * (1 + fake) / n


def _opinions(rng, fresh):
    more = int(fresh)
    for real, fake in [((2, 5, 3, 1), (2, 4, 3, 1)), ((1, 4 + more), (3, 4)), ((30 + more,), (7,))]:
        yield 2 * rng.normal(size=real), 2 * rng.normal(size=fake)


def feature_matching(real: list[np.ndarray], fake: list[np.ndarray]) -> float:
    """real (a list of arrays, one a layer), fake (alike) -> loss, a number: the mean over the layers of the distance

    mean |real_l - fake_l| / mean |real_l|, both means over all entries of the layer's feature map.
    """
    distances = [np.abs(r - f).mean() / np.abs(r).mean() for r, f in zip(real, fake, strict=True)]
    return float(np.mean(distances))


def _not_divided(real, fake):
    return float(np.mean([np.abs(r - f).mean() for r, f in zip(real, fake, strict=True)]))


def _divided_by_the_other(real, fake):
    return float(np.mean([np.abs(r - f).mean() / np.abs(f).mean() for r, f in zip(real, fake, strict=True)]))


def _entry_by_entry(real, fake):
    return float(np.mean([(np.abs(r - f) / np.abs(r)).mean() for r, f in zip(real, fake, strict=True)]))


def _summed(real, fake):
    return feature_matching(real, fake) * len(real)


def _feature_maps(rng, fresh):
    more = int(fresh)
    three = [(1, 4, 9, 2), (1, 4 + more, 5, 2), (1, 4, 3, 2)]
    for shapes in [[(2, 5, 4, 3), (2, 5, 2, 3)], [(1, 3, 3 + more, 2)], three]:
        real = [3.0**n * rng.normal(size=shape) for n, shape in enumerate(shapes)]
        yield real, [r + rng.normal(size=r.shape) for r in real]


EXERCISES = [
    of_op(
        "conv2d", "forward", chapter=11,
        mistakes=(
            Mistake(_flipped, "the kernel is flipped: tap (k, m) belongs to frame t·st + k·dt, bin f·sf + m·df"),
            Mistake(_time_for_frequency, "time and frequency have changed places in stride, dilation or padding"),
            Mistake(_frequency_alone, "stride and dilation are those of frequency alone; time has its own"),
            Mistake(_padded_behind, "the zeros stand behind; they should stand on both sides alike"),
        ),
        hint="pad, then as conv1d_forward with two loops over taps: y is a sum of slices of x times w[k, m].",
    ),
    of_op(
        "conv2d", "backward", chapter=11, points=2,
        mistakes=(
            Mistake(_assigned, "dx is assigned where it should be added to (+=): windows overlap"),
            Mistake(_flipped_in_dx, "the kernel is flipped in dx: what tap (k, m) read gets dy @ w[k, m].T"),
            Mistake(_not_cut, "dx still has the zeros of the padding around it; cut them off"),
            Mistake(_dw_of_one_item, "dw is that of the first item alone: sum over the batch"),
        ),
        hint="make an array like the padded x, send every dy back to the slice that its tap read, cut the padding off.",
    ),
    of_function(
        hinge_backward, 11, _opinions,
        mistakes=(
            Mistake(_no_means, "the loss takes means: each entry counts 1/size"),
            Mistake(_one_mean, "there are two means, each over its own entries, not one over all"),
            Mistake(_no_margin, "the margin is missing: recordings push until they are above 1, decodings below -1"),
            Mistake(_always, "an opinion beyond the margin is good enough: its gradient is 0"),
            Mistake(_upside_down, "the sign is wrong: that makes recordings look less real"),
        ),
        hint="max(0, 1 - r) has the slope -1 where r < 1 and 0 elsewhere; then the mean.",
    ),
    of_function(
        feature_matching, 11, _feature_maps,
        mistakes=(
            Mistake(_not_divided, "the distance of a layer is not divided by mean |real_l|"),
            Mistake(_divided_by_the_other, "divided by the size of fake's features; it should be that of real's"),
            Mistake(_entry_by_entry, "divided entry by entry; it should be one mean by another"),
            Mistake(_summed, "a mean over the layers, not their sum"),
        ),
        hint="one number for each layer, then their mean.",
    ),
    of_function(
        least_squares_backward, 11, _opinions, variant_of="hinge_backward",
        mistakes=(
            Mistake(_factor_two_lost, "the derivative of u² is 2u"),
            Mistake(_squares_in_one_mean, "there are two means, each over its own entries, not one over all"),
            Mistake(hinge_backward, "that is the hinge loss; here both terms are squares"),
        ),
        hint="the chain rule: 2u times the derivative of u; then the mean.",
    ),
]  # fmt: skip
