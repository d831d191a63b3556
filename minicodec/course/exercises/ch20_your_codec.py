"""Chapter 20: what a codec of one's own costs."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.course.my_codec.bits import plain_file


def bits_per_second(data, samples, sample_rate):
    """data (bytes of a file), samples, sample_rate -> rate (), a number: bits that the file takes for each second."""
    return 8 * len(data) * sample_rate / samples


def _files(rng, fresh):
    for n, samples, rate in [(100, 24_000, 24_000), (7, 801, 8_000), (1, 48_000 + int(fresh), 48_000)]:
        yield bytes(n), samples, rate


def header_share(data):
    """data (bytes of an .ecdc file of version 0) -> share (), a number from 0 to 1: how much of it is header.

    The header: 9 bytes, the last four of which say (highest byte first) how many bytes of JSON follow them.
    """
    return (9 + int.from_bytes(data[5:9], "big")) / len(data)


def _coded(rng, fresh):
    for T, name in [(1, "a"), (50, "mine-12345678"), (300 + int(fresh), "x" * 250)]:
        yield (plain_file(rng.integers(8, size=(2, T)), T * 320, name, 8),)


def real_time(seconds, samples, sample_rate):
    """seconds (n), samples (n), sample_rate -> factor (), a number: how many seconds of sound a second of work codes.

    seconds: what each of n files took; samples: how long each is. All files count together, the long ones more.
    """
    return samples.sum() / sample_rate / seconds.sum()


def _runs(rng, fresh):
    for n in (1, 3, 5 + int(fresh)):
        yield rng.uniform(0.1, 5, n), rng.integers(1_000, 100_000, n), 24_000


EXERCISES = [
    of_function(
        bits_per_second, 20, _files,
        mistakes=(
            Mistake(lambda d, n, r: len(d) * r / n, "those are bytes; a byte has 8 bits"),
            Mistake(lambda d, n, r: 8 * len(d) / n, "those are bits for each sample, not for each second"),
            Mistake(lambda d, n, r: 8 * len(d), "those are the bits of the whole file"),
            Mistake(lambda d, n, r: 8 * len(d) * r / n / 1000, "those are kbit/s; bits were asked for"),
            Mistake(lambda d, n, r: 8 * len(d) * n / r, "multiplied by the duration; divide by it"),
        ),
        hint="the duration is samples / sample_rate seconds.",
    ),
    of_function(
        header_share, 20, _coded,
        mistakes=(
            Mistake(lambda d: int.from_bytes(d[5:9], "big") / len(d), "the 9 bytes before the JSON count, too"),
            Mistake(lambda d: (9 + d[8]) / len(d), "the size has four bytes, of which the last alone was read"),
            Mistake(lambda d: 1 - (9 + int.from_bytes(d[5:9], "big")) / len(d), "that is the share of the codes"),
            Mistake(lambda d: (9 + int.from_bytes(d[5:9], "little")) / len(d), "the highest byte comes first: 'big'"),
            Mistake(lambda d: 100 * (9 + int.from_bytes(d[5:9], "big")) / len(d), "that is in percent"),
        ),
        hint="int.from_bytes(data[5:9], 'big').",
    ),
    of_function(
        real_time, 20, _runs,
        mistakes=(
            Mistake(lambda s, n, r: (n / r / s).mean(), "a mean of ratios: a short file counts as much as a long one"),
            Mistake(lambda s, n, r: s.sum() / (n.sum() / r), "upside down: that is work for each second of sound"),
            Mistake(lambda s, n, r: n.sum() / s.sum(), "those are samples for each second: divide by the sample rate"),
            Mistake(lambda s, n, r: float(np.median(n / r / s)), "the median of ratios; all files count together"),
            Mistake(lambda s, n, r: (n.sum() / r) / s.mean(), "divided by the mean time, not by all of it"),
        ),
        hint="all seconds of sound, divided by all seconds of work.",
    ),
]  # fmt: skip
