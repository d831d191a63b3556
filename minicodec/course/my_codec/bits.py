"""Chapter 14: codes as bytes, and the .ecdc file around them. It is the library's, to the bit.

    "!4sBI"     b"ECDC", the version (0: plain, 1: entropy-coded), the size of the JSON
    JSON        "m" the model's name, "al" samples, "nc" codebooks, "lm" false, or what predicts the codes
    0:          the codes, frame by frame, `bits` each
    1:          "cf" frames in a chunk and "n" chunks are in the JSON, too; then for each chunk its bytes and its CRC-32
                ("!II"), the CRC-32 of all that so far ("!I"), and the chunks
"""

import json
import struct
import zlib

import numpy as np


def pack_bits(values, bits):
    """values (n) from 0 to 2^bits - 1 -> bytes: `bits` bits of each, least significant first.

    The first bit of all is the least significant bit of the first byte; zeros fill the last one.
    """
    each = (values[:, None] >> np.arange(bits)) & 1
    return np.packbits(each.astype(np.uint8).ravel(), bitorder="little").tobytes()


def unpack_bits(data, bits, count):
    """data (bytes) -> values (count), int64: the inverse of pack_bits."""
    each = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[: count * bits]
    return each.reshape(count, bits).astype(np.int64) @ (1 << np.arange(bits))


def adaptive_counts(codes, N):
    """codes (T) from 0 to N - 1 -> cumulative (T,N+1): counts before each code comes, added up, as integers."""
    counts, cumulative = np.ones(N, np.int64), np.zeros((len(codes), N + 1), np.int64)
    for t, code in enumerate(codes):
        cumulative[t, 1:] = counts.cumsum()
        counts[code] += 4
    return cumulative


def range_encode(starts, stops, totals):
    """Starts (n), stops (n), totals (n) -> bytes: symbol i owns the counts starts[i] … stops[i] - 1 of totals[i]."""
    low, width, digits = 0, 1 << 48, 1
    for start, stop, total in zip(starts.tolist(), stops.tolist(), totals.tolist(), strict=True):
        unit = width // total
        low, width = low + start * unit, (stop - start) * unit
        while width < 1 << 40:
            low, width, digits = low << 8, width << 8, digits + 1
    return (-(-low >> 40)).to_bytes(digits, "big").rstrip(b"\0")


def pull_symbol(value, width, counts):
    """Value, width, counts (V+1) cumulative -> symbol, value, width: one symbol read, the interval narrowed to it."""
    unit = width // int(counts[-1])
    symbol = int(np.searchsorted(counts, value // unit, side="right")) - 1
    start, stop = int(counts[symbol]), int(counts[symbol + 1])
    return symbol, value - start * unit, (stop - start) * unit


def encode_codes(codes, N):
    """codes (Q,T) -> bytes: frame by frame, codebook by codebook, each by the adaptive_counts of its codebook."""
    cumulative = np.stack([adaptive_counts(level, N) for level in codes], axis=1)  # (T,Q,N+1)
    symbols = codes.T[..., None].astype(np.int64)
    starts, stops = (np.take_along_axis(cumulative, symbols + i, axis=2).ravel() for i in (0, 1))
    return range_encode(starts, stops, cumulative[..., -1].ravel())


def decode_codes(data, Q, T, N):
    """data (bytes) -> codes (Q,T), int64: the inverse of encode_codes.

    value begins as the first 6 bytes, the highest first; width as 2^48. After each symbol, as long as width is below
    2^40, width is multiplied by 256, and value too, plus the next byte. Behind the end of data there are zeros.
    """
    value, width, at = int.from_bytes(data[:6].ljust(6, b"\0"), "big"), 1 << 48, 6
    counts, codes = np.ones((Q, N), np.int64), np.zeros((Q, T), np.int64)
    for t in range(T):
        for q in range(Q):
            cumulative = np.concatenate([[0], counts[q].cumsum()])
            codes[q, t], value, width = pull_symbol(value, width, cumulative)
            counts[q, codes[q, t]] += 4
            while width < 1 << 40:
                byte = data[at] if at < len(data) else 0
                value, width, at = (value << 8) + byte, width << 8, at + 1
    return codes


def plain_file(codes, samples, model, N):
    """codes (Q,frames), samples, model (a name) -> bytes of an .ecdc file of version 0. N = 2^bits entries."""
    about = {"m": model, "al": samples, "nc": len(codes), "lm": False}
    text = json.dumps(about).encode()
    return struct.pack("!4sBI", b"ECDC", 0, len(text)) + text + pack_bits(codes.T.ravel(), N.bit_length() - 1)


def coded_file(codes, samples, model, N, chunk=4500):
    """codes (Q,frames), samples, model (a name) -> bytes of an .ecdc file of version 1, in chunks of `chunk` frames:

    a minute, at 75 a second.

    Each chunk is coded apart. Its CRC-32 is that of its bytes, and then of its codes, frame by frame, as "<i2".
    "lm" is "adaptive".
    """
    index, chunks = b"", []
    for start in range(0, codes.shape[1], chunk):
        part = codes[:, start : start + chunk]
        chunks.append(encode_codes(part, N))
        check = zlib.crc32(part.T.astype("<i2").tobytes(), zlib.crc32(chunks[-1]))
        index += struct.pack("!II", len(chunks[-1]), check)
    about = {"m": model, "al": samples, "nc": len(codes), "lm": "adaptive", "cf": chunk, "n": len(chunks)}
    text = json.dumps(about).encode()
    head = struct.pack("!4sBI", b"ECDC", 1, len(text)) + text + index
    return head + struct.pack("!I", zlib.crc32(head)) + b"".join(chunks)


def read_file(data, hop, N):
    """data: the bytes of an .ecdc file -> model (a name), samples, codes (Q,frames), frames = ceil(samples / hop).

    ValueError: a chunk of version 1 whose CRC-32 is another.
    """
    _, version, size = struct.unpack_from("!4sBI", data)
    about, at = json.loads(data[9 : 9 + size]), 9 + size
    Q, frames = about["nc"], -(-about["al"] // hop)
    if version == 0:
        codes = unpack_bits(data[at:], N.bit_length() - 1, Q * frames).reshape(frames, Q).T
        return about["m"], about["al"], codes
    index = np.frombuffer(data, ">u4", 2 * about["n"], at).reshape(-1, 2).tolist()
    at, parts = at + 8 * about["n"] + 4, []
    for n, (length, check) in enumerate(index):
        chunk, T = data[at : at + length], min(about["cf"], frames - n * about["cf"])
        parts.append(decode_codes(chunk, Q, T, N))
        if zlib.crc32(parts[-1].T.astype("<i2").tobytes(), zlib.crc32(chunk)) != check:
            raise ValueError(f"chunk {n} is damaged")
        at += length
    return about["m"], about["al"], np.concatenate(parts, axis=1)
