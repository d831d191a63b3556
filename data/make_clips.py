"""Make the clips of this folder: python data/make_clips.py (needs minicodec and the program espeak-ng).

Speech comes from espeak-ng (sentences written for this purpose), music from instruments.py. Every clip has a seed of
its own, so that one can be changed without the others.
"""

import subprocess
import tempfile
import zlib
from pathlib import Path

import instruments as play
import numpy as np
from instruments import pitch, track

from minicodec import audio

RATE = 24_000
FOLDER = Path(__file__).parent

SPEECH = {  # name: (espeak voice, words per minute, pitch 0..99, text)
    "speech_en_1": ("en-us+m3", 155, 40, "The old lighthouse keeper counted every ship that passed before breakfast. "
                    "On foggy mornings he listened for their bells instead, and wrote down what he heard."),
    "speech_en_2": ("en-gb+f2", 165, 55, "A codec is a promise: few bits now, the same sound later. Which sounds "
                    "may be lost, and which would you miss? Choose carefully, because nobody can listen twice."),
    "speech_en_3": ("en-gb-scotland+m7", 150, 35, "Seven thick sticks, six slick fish, and a dash of fresh ginger. "
                    "She says the soup is simple; the kitchen suggests otherwise."),
    "speech_en_4": ("en-us+f4", 175, 70, "Zero, one, two, three, four, five, six, seven, eight, nine, ten. "
                    "Testing, testing. Can you hear the difference between pat and bat, between sip and zip?"),
    "speech_en_5": ("en-us+whisper", 140, 50, "Please be quiet now. The children are asleep, and the snow is falling."),
    "speech_de_1": ("de+f3", 150, 50, "Im Garten hinter dem Haus wächst ein Apfelbaum, den niemand gepflanzt hat. "
                    "Jedes Jahr im Herbst liegen die Früchte im nassen Gras."),
    "speech_fr_1": ("fr-fr+f5", 155, 55, "Le train de nuit traverse la plaine sans un bruit. "
                    "À la fenêtre, une enfant compte les lumières des villages."),
    "speech_es_1": ("es+m1", 155, 45, "El panadero abre la puerta a las cinco de la mañana, "
                    "y toda la calle huele a pan caliente y a lluvia."),
    "speech_it_1": ("it+m6", 155, 50, "La barca rossa torna al porto quando il sole scende dietro la collina, "
                    "piena di reti, di sale e di storie."),
}  # fmt: skip


def speech(voice, speed, height, text):
    """(T,) at RATE Hz, spoken by espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(height), "-w", path, text], check=True)
        wav, rate = audio.read(path)
    return audio.resample(wav, rate, RATE)[0].astype(np.float64)


def strings(rng):
    """Broken chords on plucked strings: Am F C G, Am Dm E Am."""
    chords = [(57, 60, 64, 69), (53, 57, 60, 65), (48, 55, 60, 64), (55, 59, 62, 67),
              (57, 60, 64, 72), (50, 57, 62, 65), (52, 56, 59, 64), (45, 57, 64, 69)]  # fmt: skip
    order = (0, 1, 2, 3, 2, 3, 1, 2)
    events = [
        (1.6 * bar + 0.2 * i, 0.7 + 0.3 * (i % 4 == 0), play.pluck(RATE, pitch(chord[note]), 2.5, rng))
        for bar, chord in enumerate(chords)
        for i, note in enumerate(order)
    ]
    return play.room(track(RATE, 14, events), RATE, rng, 1.2, 0.15)


def harp(rng):
    """Fast runs up and down a pentatonic scale, low to very high."""
    scale = [12 * octave + step for octave in range(3, 8) for step in (0, 2, 4, 7, 9)]
    run = scale[2:22] + scale[20:1:-1]
    events = [
        (0.09 * i + 0.02 * rng.random(), rng.uniform(0.5, 1), play.pluck(RATE, pitch(n), 1.8, rng, 2.0, 0.9))
        for i, n in enumerate(run + [n + 5 for n in run])
    ]
    return play.room(track(RATE, 9, events), RATE, rng, 1.5, 0.2)


def bells(rng):
    """A slow peal, then a music box above it."""
    peal = [(1.4 * i, 0.9, play.bell(RATE, pitch(n), 4.0)) for i, n in enumerate((64, 60, 62, 55, 55, 62, 64, 60))]
    tune = (84, 88, 91, 89, 88, 86, 84, 79, 81, 84, 86, 88, 84)
    box = [(5.0 + 0.45 * i, 0.4, play.bell(RATE, pitch(n), 1.5, 7.0, 1.5)) for i, n in enumerate(tune)]
    return play.room(track(RATE, 13, peal + box), RATE, rng, 2.0, 0.15)


def organ(rng):
    """A chorale in four voices, D major."""
    chords = [(50, 57, 62, 66), (45, 57, 64, 69), (47, 54, 62, 66), (42, 54, 61, 66), (43, 55, 59, 62),
              (45, 55, 61, 64), (50, 54, 57, 62), (43, 55, 59, 67), (45, 57, 61, 64), (38, 57, 62, 66)]  # fmt: skip
    events = [
        (1.15 * i, 0.4, play.organ(RATE, pitch(n), 2.4 if i == len(chords) - 1 else 1.2))
        for i, chord in enumerate(chords)
        for n in chord
    ]
    return play.room(track(RATE, 13.5, events), RATE, rng, 2.2, 0.3)


def pads(rng):
    """Four wide chords that open and close."""
    chords = [(41, 60, 64, 67), (43, 59, 62, 69), (40, 59, 62, 67), (45, 57, 60, 64)]
    events = [
        (2.8 * i, 0.4, play.pad(RATE, pitch(n), 3.4, 300, 1500 + 500 * i)) for i, c in enumerate(chords) for n in c
    ]
    return play.room(track(RATE, 12, events), RATE, rng, 1.5, 0.2)


def flute(rng):
    """A melody in the Dorian mode over single plucked notes."""
    tune = [(74, 2), (77, 1), (76, 1), (74, 1), (72, 1), (69, 2), (72, 1), (74, 1), (76, 2), (79, 2), (77, 1), (76, 1),
            (77, 1), (81, 3), (79, 1), (76, 1), (72, 1), (74, 4)]  # fmt: skip
    starts = 0.38 * np.cumsum([0] + [beats for _, beats in tune])
    events = [
        (t, 0.5, play.flute(RATE, pitch(n), 0.38 * beats + 0.04, rng))
        for t, (n, beats) in zip(starts, tune, strict=False)
    ]
    events += [(1.52 * i, 0.5, play.pluck(RATE, pitch(n), 3, rng)) for i, n in enumerate((50, 57, 48, 52, 50, 45, 50))]
    return play.room(track(RATE, 11.5, events), RATE, rng, 1.3, 0.2)


def beat(rng, rate, seconds, step, kicks, snares, hats, claps=""):
    """A pattern of one bar, repeated: one character a step, x strong, o weak."""
    parts = (
        (kicks, lambda: play.kick(rate)),
        (snares, lambda: 0.8 * play.snare(rate, rng)),
        (hats, lambda: 0.35 * play.hat(rate, rng)),
        (claps, lambda: play.clap(rate, rng)),
    )
    events = [
        (step * (i + late), {"x": 1.0, "o": 0.45}[strokes[i % len(strokes)]], sound())
        for strokes, sound in parts
        if strokes
        for i in range(int(seconds / step) - 2)
        for late in [0.03 * rng.random()]
        if strokes[i % len(strokes)] != "."
    ]
    return track(rate, seconds, events)


def drums_1(rng):
    """A rock beat, 100 to the minute."""
    return beat(rng, RATE, 9.8, 0.15, "x.....x.x.x.....", "....x.......x..o", "x.x.x.x.x.x.x.xo")


def drums_2(rng):
    """An electronic beat, 126 to the minute, with claps."""
    return beat(rng, RATE, 8, 0.119, "x...x...x...x...", "", "o.xoo.xoo.xoo.xx", "....x.......x.o.")


def drums_3(rng):
    """Hand drums of three sizes in a bar of seven."""
    lines = (("x..x.x.", 98), ("..o.x.o", 165), (".o.o..x", 233))
    events = [
        (0.16 * i + 0.008 * rng.random(), (1 if line[i % 7] == "x" else 0.5), play.drum(RATE, f, rng))
        for i in range(54)
        for line, f in lines
        if line[i % 7] != "."
    ]
    return play.room(track(RATE, 9.5, events), RATE, rng, 0.8, 0.15)


def sea(rng):
    """Two waves: noise whose level and colour rise and fall."""
    t = play.clock(RATE, 4.7)
    noise = rng.standard_normal(len(t))
    low, high = play.filtered(noise, RATE, "lowpass", 300), play.filtered(noise, RATE, "bandpass", (600, 5000), 1)
    swell = np.sin(np.pi * t / 2.34) ** 4
    return low * (0.3 + swell) + 0.35 * high * swell**2


def song(rng):
    """Bass, drums, chords on strings left and bells right, and a flute: (2,T) at 44.1 kHz."""
    rate, seconds, bar = 44_100, 6.8, 1.5
    chords = [(48, 64, 67, 72), (45, 60, 64, 69), (41, 60, 65, 69), (43, 59, 62, 67)]
    tune = [(76, 1), (79, 1), (84, 1), (83, 1), (81, 2), (79, 1), (76, 1), (77, 1), (81, 1), (79, 1), (77, 1), (74, 4)]
    low = [(bar * (i + t), 0.5, play.bass(rate, pitch(c[0] - 12), d)) for i, c in enumerate(chords)
           for t, d in ((0, 0.5), (0.375, 0.17), (0.5, 0.35), (0.75, 0.3))]  # fmt: skip
    strum = [(bar * (i + t) + 0.02 * j, 0.35, play.pluck(rate, pitch(n), 1.2, rng)) for i, c in enumerate(chords)
             for t in (0.25, 0.5, 0.875) for j, n in enumerate(c[1:])]  # fmt: skip
    glints = [
        (bar * (i + j / 8), 0.12, play.bell(rate, pitch(c[1 + j % 3] + 12), 1)) for i, c in enumerate(chords)
        for j in range(8)
    ]  # fmt: skip
    starts = bar / 4 * np.cumsum([0] + [beats for _, beats in tune])
    lead = [(t, 0.25, play.flute(rate, pitch(n), bar / 4 * b, rng)) for t, (n, b) in zip(starts, tune, strict=False)]
    middle = track(rate, seconds, low + lead)
    middle += 0.8 * beat(rng, rate, seconds, bar / 16, "x.....x.x.......", "....x.......x...", "x.o.x.o.x.o.x.oo")
    sides = [
        play.room(track(rate, seconds, near) + 0.3 * track(rate, seconds, far), rate, rng, 1.0, 0.3)
        for near, far in ((strum, glints), (glints, strum))
    ]
    return np.stack([middle + side for side in sides])


MUSIC = {
    "music_strings": strings, "music_harp": harp, "music_bells": bells, "music_organ": organ, "music_pads": pads,
    "music_flute": flute, "music_song_44k_stereo": song, "drums_1": drums_1, "drums_2": drums_2, "drums_3": drums_3,
    "sea": sea,
}  # fmt: skip


def finish(wav, rate, peak_db):
    """(C,T): no rumble or DC, no hard edges, and the loudest sample at peak_db dBFS.

    Samples are multiples of 2^-13: FLAC leaves the two empty bits out, which saves a fifth of the size of the folder;
    the rounding lies at -89 dBFS.
    """
    wav = play.filtered(np.atleast_2d(wav), rate, "highpass", 25)
    wav = wav * play.envelope(play.clock(rate, wav.shape[1] / rate), 0.005, 0.25)
    wav = wav * (10 ** (peak_db / 20) / np.abs(wav).max())
    return (np.rint(wav * 2**13) / 2**13).astype(np.float32)


def main():
    """Write every clip and print its length, level and size."""
    clips = {name: (RATE, -4.0, lambda rng, a=arguments: speech(*a)) for name, arguments in SPEECH.items()}
    for name, make in MUSIC.items():
        clips[name] = (44_100 if "44k" in name else RATE, -4.0, make)
    for name, (rate, peak_db, make) in clips.items():
        wav = finish(make(np.random.default_rng(zlib.crc32(name.encode()))), rate, peak_db)
        path = FOLDER / f"{name}.flac"
        audio.write(path, wav, rate, overwrite=True)
        level = 10 * np.log10(np.mean(wav**2))
        print(f"{path.name:30} {wav.shape[1] / rate:5.1f} s {level:6.1f} dBFS {path.stat().st_size / 1e3:6.0f} kB")


if __name__ == "__main__":
    main()
