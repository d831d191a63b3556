"""Chapter 20: what a codec of one's own costs."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.course.my_codec.bits import plain_file


def bits_per_second(data, samples, sample_rate):
    """data (bytes of a file), samples, sample_rate -> rate (), a number: bits for each second.

    samples: how long the sound in the file is.
    """
    return 8 * len(data) * sample_rate / samples


def _files(rng, fresh):
    for n, samples, rate in [(100, 36_000, 24_000), (7, 801, 8_000), (1, 48_000 + int(fresh), 48_000)]:
        yield bytes(n), samples, rate


def header_share(data):
    """data (bytes of an .ecdc file, version 0) -> share (), from 0 to 1: how much of it is header.

    The header: 9 bytes, the last four of which say (highest byte first) how many bytes of JSON
    follow them; and that JSON.
    """
    return (9 + int.from_bytes(data[5:9], "big")) / len(data)


def _beside_the_codes(data):
    header = 9 + int.from_bytes(data[5:9], "big")
    return header / (len(data) - header)


def _coded(rng, fresh):
    for T, name in [(1, "a"), (50, "mine-12345678"), (300 + int(fresh), "x" * 250), (9, "{1}")]:
        yield (plain_file(rng.integers(8, size=(2, T)), T * 320, name, 8),)


def real_time(seconds, samples, sample_rate):
    """seconds (n), samples (n), sample_rate -> factor (): seconds of sound for a second of work.

    seconds: what each of n files took; samples: how long each is. All files count together, the
    long ones more.
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
            Mistake(lambda d, n, r: len(d) / 8 * r / n, "divided by 8; a byte has 8 bits: multiply"),
            Mistake(lambda d, n, r: 8 * len(d) * r // n, "// cuts off what stands after the point: divide with /"),
            Mistake(lambda d, n, r: 8 * len(d) / (n // r), "n // r cuts the duration down to whole seconds"),
            Mistake(lambda d, n, r: 8 * d * r / n, "data are the bytes themselves: len(data) counts them"),
            Mistake(lambda d, n, r: 16 * r, "that is the recording's rate; the file's was asked for"),
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
            Mistake(lambda d: (8 + int.from_bytes(d[5:9], "big")) / len(d), "9 bytes stand before the JSON, not 8"),
            Mistake(lambda d: (9 + int.from_bytes(d[4:8], "big")) / len(d), "the last four of 9 bytes: data[5:9]"),
            Mistake(lambda d: 9 / len(d), "the JSON belongs to the header, too"),
            Mistake(lambda d: (9 + int(d[5:9])) / len(d), "int() reads digits; int.from_bytes reads bytes"),
            Mistake(lambda d: (d.index(b"}") + 1) / len(d), "a } may stand in the JSON itself: its size is told"),
            Mistake(_beside_the_codes, "the share of the whole file was asked for, not of what follows"),
            Mistake(lambda d: 9 + int.from_bytes(d[5:9], "big"), "those are bytes: divide by all that there are"),
            Mistake(lambda d: 100 * (9 + int.from_bytes(d[5:9], "big")) / len(d), "that is in percent"),
        ),
        hint="int.from_bytes(data[5:9], 'big').",
    ),
    of_function(
        real_time, 20, _runs,
        mistakes=(
            Mistake(lambda s, n, r: (n / r / s).mean(), "a mean of ratios: a short file counts as much as a long one"),
            Mistake(lambda s, n, r: (n / r / s).sum(), "a sum of ratios: add up the sound and the work first"),
            Mistake(lambda s, n, r: np.average(n / r / s, weights=n), "a mean of ratios, weighted: divide sums"),
            Mistake(lambda s, n, r: n / r / s, "that is a number for each file; one for all was asked for"),
            Mistake(lambda s, n, r: s.sum() / n.sum(), "that is work for each sample, and upside down"),
            Mistake(lambda s, n, r: s.sum() / (n.sum() / r), "upside down: that is work for each second of sound"),
            Mistake(lambda s, n, r: n.sum() / s.sum(), "those are samples for each second: divide by the sample rate"),
            Mistake(lambda s, n, r: float(np.median(n / r / s)), "the median of ratios; all files count together"),
            Mistake(lambda s, n, r: (n.sum() / r) / s.mean(), "divided by the mean time, not by all of it"),
        ),
        hint="all seconds of sound, divided by all seconds of work.",
    ),
]  # fmt: skip
