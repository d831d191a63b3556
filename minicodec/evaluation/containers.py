"""The audio inside a container: what a codec spends, without what the file format adds around it.

At 6 kbit/s the container is no detail: Ogg adds about 1.5 kbit/s to Opus, and an MP3 file begins with a frame that
holds a table for seeking and no sound. Streams do without either, so codecs are compared by these payloads.
"""

MPEG_1, MPEG_2 = 3, 2  # the header's two bits for the version; 0 is MPEG 2.5, 1 is none
SAMPLE_RATES = {MPEG_1: (44_100, 48_000, 32_000), MPEG_2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBPS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # the header's bit rates 1 … 14, MPEG 1
KBPS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # and MPEG 2 and 2.5
LAYER_3 = 1
MONO = 3


def ogg_packets(data: bytes) -> list[int]:
    """The sizes in bytes of all packets of an Ogg file with one stream [RFC3533, §6]. ValueError: it is none.

    A page lists the lengths of its segments; a packet goes on until a segment of less than 255 bytes.
    """
    sizes, size, position = [], 0, 0
    while position < len(data):
        if data[position : position + 4] != b"OggS" or len(data) < position + 27:
            raise ValueError(f"no page of Ogg at byte {position}")
        segments = data[position + 27 : position + 27 + data[position + 26]]
        for length in segments:
            size += length
            if length < 255:
                sizes.append(size)
                size = 0
        position += 27 + len(segments) + sum(segments)
    return sizes


def opus_payload(data: bytes) -> int:
    """The bytes of sound in an Ogg Opus file: all packets but the first two, which are headers [RFC7845, §3]."""
    return sum(ogg_packets(data)[2:])


def mp3_payload(data: bytes) -> int:
    """The bytes of sound in an MP3 file: all frames but a Xing/Info frame, without ID3 tags. ValueError: it is none.

    A frame's size follows from its header: 1152 samples (576 in MPEG 2) at the frame's bit rate, and a byte of
    padding now and then [ISO 11172-3, §2.4.2.3].
    """
    position, total, first = 0, 0, True
    if data[:3] == b"ID3":  # four bytes of seven bits each
        position = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while position < len(data) and data[position : position + 3] != b"TAG":
        size, side_info = _mp3_frame(data[position : position + 4], position)
        tag = data[position + 4 + side_info : position + 8 + side_info]
        if not (first and tag in (b"Xing", b"Info")):
            total += min(size, len(data) - position)
        position += size
        first = False
    return total


def _mp3_frame(header: bytes, position: int) -> tuple[int, int]:
    """A frame's size and that of its side information, in bytes, from the four bytes of its header."""
    bits = int.from_bytes(header, "big")
    version, layer, rate, kbps = bits >> 19 & 3, bits >> 17 & 3, bits >> 10 & 3, bits >> 12 & 15
    if len(header) < 4 or bits >> 21 != 0x7FF or version == 1 or layer != LAYER_3 or rate == 3 or kbps in (0, 15):
        raise ValueError(f"no frame of MP3 at byte {position}")
    mono = bits >> 6 & 3 == MONO
    bits_per_second = 1000 * (KBPS_1 if version == MPEG_1 else KBPS_2)[kbps - 1]
    samples = 1152 if version == MPEG_1 else 576
    size = samples // 8 * bits_per_second // SAMPLE_RATES[version][rate] + (bits >> 9 & 1)
    return size, (17 if mono else 32) if version == MPEG_1 else (9 if mono else 17)
