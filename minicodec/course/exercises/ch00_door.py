"""Chapter 0: what an exercise is, by one of two lines."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function


def bitrate(levels, entries, frame_rate):
    """levels, entries, frame_rate (per second) -> kbps, a number: thousands of bits per second.

    A frame holds one code for each level, and each code names one of `entries` (a power of two).
    """
    return levels * np.log2(entries) * frame_rate / 1000


def _bits_per_second(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) * 1000


def _natural(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) * np.log(2)


def _one_level(levels, entries, frame_rate):
    return bitrate(1, entries, frame_rate)


def _no_logarithm(levels, entries, frame_rate):
    return levels * entries * frame_rate / 1000


def _one_frame(levels, entries, frame_rate):
    return levels * np.log2(entries) / 1000


def _bytes(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) / 8


def _kibi(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) * 1000 / 1024


def _always_ten(levels, entries, frame_rate):
    return levels * 10 * frame_rate / 1000


def _bit_length(levels, entries, frame_rate):
    return levels * entries.bit_length() * frame_rate / 1000


def _rounded(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) // 1


def _decimal(levels, entries, frame_rate):
    return bitrate(levels, entries, frame_rate) * np.log10(2)


def _of_the_product(levels, entries, frame_rate):
    return np.log2(levels * entries) * frame_rate / 1000


def _settings(rng, fresh):
    yield 8, 1024, 75
    yield 32, 1024, 75.0
    yield 1, 2, 50 + int(fresh)
    yield 5, 4096, 12.5


EXERCISES = [
    of_function(
        bitrate, 0, _settings,
        mistakes=(
            Mistake(_bits_per_second, "these are bits per second; divide by 1000"),
            Mistake(_natural, "np.log is the natural logarithm; bits take the logarithm to base 2, np.log2"),
            Mistake(_one_level, "every level has a code of its own in each frame: multiply by levels"),
            Mistake(_no_logarithm, "1024 entries do not cost 1024 bits: ten bits can name them all"),
            Mistake(_one_frame, "that is the cost of one frame; there are frame_rate of them in a second"),
            Mistake(_bytes, "these are bytes: no division by 8"),
            Mistake(_kibi, "a kilobit is 1000 bits, not 1024"),
            Mistake(_always_ten, "ten bits are right for 1024 entries alone: how many name one of `entries`?"),
            Mistake(_bit_length, "1024 has 11 binary digits, but its entries are numbered from 0 to 1023: ten bits"),
            Mistake(_rounded, "the kilobits were rounded: 50 bits per second are 0.05 of them; / divides, // cuts off"),
            Mistake(_decimal, "np.log10 counts decimal digits; bits take the logarithm to base 2, np.log2"),
            Mistake(_of_the_product, "levels · log2(entries), not log2(levels · entries): each level has its own code"),
        ),
        hint="bits = levels * np.log2(entries) for a frame; frame_rate frames a second; 1000 bits are a kilobit.",
    ),
]  # fmt: skip
