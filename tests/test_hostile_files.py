"""Files that are damaged, absurd or not what their name says: one line on stderr, exit status 2, nothing written."""

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.cli import main

HASH = b"HASHHASH"  # stands for that of the model's weights, until `packets` fills it in


def ecdc(payload=None, **changes):
    """An .ecdc file with a few keys of its header changed. 5000 samples make 16 frames of 8·10 bits: 160 bytes."""
    header = {"m": "tiny_24khz-" + HASH.decode(), "al": 5000, "nc": 8, "lm": False}
    return raw(json.dumps(header | changes).encode(), payload=payload)


def raw(text, *, magic=b"ECDC", version=0, size=None, payload=None):
    size = len(text) if size is None else size
    return struct.pack("!4sBI", magic, version, size) + text + (bytes(range(160)) if payload is None else payload)


BAD_PACKETS = {  # what is wrong: the bytes, and the reason that the message gives
    "empty": (b"", "not an .ecdc file"),
    "magic": (raw(b"{}", magic=b"ECDD"), "not an .ecdc file"),
    "version 7": (raw(b"{}", version=7), "version 7"),
    "header of 4 GB": (raw(b"{}", size=2**32 - 1), "header of 4294967295 bytes"),
    "header behind the end": (raw(b"{}", size=60_000), "ends within its header"),
    "JSON bomb of lists": (raw(b"[" * 65_000), "damaged header"),
    "JSON bomb of objects": (raw(b'{"m":' * 13_000), "damaged header"),
    "header not JSON": (raw(b"\x00\xff" * 30), "damaged header"),
    "no codebooks": (ecdc(nc=0), "0 codebooks"),
    "99 codebooks": (ecdc(nc=99), "99 codebooks"),
    "length -1": (ecdc(al=-1), "length of -1 samples"),
    "length 0": (ecdc(al=0), "length of 0 samples"),
    "length 10^15": (ecdc(al=10**15), "cut off"),
    "length of 4000 digits": (ecdc(al=10**4000), "length of 1000"),
    "length a text": (ecdc(al="5000"), "'al' is no int"),
    "cut in the magic": (ecdc()[:3], "not an .ecdc file"),
    "cut in the prefix": (ecdc()[:7], "ends within its header"),
    "cut in the header": (ecdc()[:20], "ends within its header"),
    "cut before the payload": (ecdc(payload=b""), "cut off"),
    "cut in the payload": (ecdc()[:-80], "cut off"),
    "cut by one byte": (ecdc()[:-1], "cut off"),
    "one byte more": (ecdc() + b"\x00", "goes on after its end"),
    "a model named over two lines": (ecdc(m="a\nb\x1b[31m"), "name cannot be one"),
}

OTHER_MODELS = ["tiny_24khz-00000000", "mini_24khz", "encodec_48khz", "../../etc/passwd"]


def wav_bytes(samples, *, channels=1, rate=24_000, kind=3, bits=32):
    """A RIFF file around samples as they are, NaN included, which soundfile would not write."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits)
    data = np.asarray(samples, "<f4").tobytes()
    return (
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + fmt
        + b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip


BAD_AUDIO = {
    "text": (b"This is a text, whatever its name says.\n" * 20, "cannot be read as audio"),
    "nothing": (b"", "cannot be read as audio"),
    "no samples": (wav_bytes([]), "no samples"),
    "NaN": (wav_bytes([0.0] * 100 + [np.nan] + [0.0] * 100), "NaN"),
    "infinity": (wav_bytes([0.0, np.inf]), "infinite"),
    "deafening": (wav_bytes([3e38] * 1000), "samples up to 3e+38"),
    "deafening, in two channels": (wav_bytes([3e38] * 1000, channels=2), "samples up to 3e+38"),
    "one sample too loud": (wav_bytes([0.0] * 500 + [150.0]), "samples up to 150, where audio lies within -1 … 1"),
    "too loud once it is resampled": (wav_bytes(np.repeat([99.0, -99.0] * 20, 50), rate=48_000), "samples up to 1"),
    "less than a sample at 24 kHz": (wav_bytes([0.5], rate=192_000), "1 samples at 192000 Hz are not one at 24000 Hz"),
    "an .ecdc file": (ecdc(), "cannot be read as audio"),
}


@pytest.fixture(scope="module")
def packets(model):
    """BAD_PACKETS, as if `model` had made them."""
    digits = minicodec.load(model).name.split("-")[1].encode()
    assert len(digits) == len(HASH)
    return {case: (data.replace(HASH, digits), reason) for case, (data, reason) in BAD_PACKETS.items()}


def refused(capsys, argv, *, named, reason, folder):
    """`main` ends with status 2 and one line about the file `named`; in `folder` there is nothing new."""
    before = sorted(folder.iterdir())
    status = main([str(a) for a in argv])
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.startswith(f"minicodec: {named}: ")
    assert reason in captured.err
    assert captured.err.endswith("\n")
    assert captured.err[:-1].isprintable()  # so it is one line, and leaves the terminal alone
    assert len(captured.err) < 400
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("case", BAD_PACKETS)
@pytest.mark.parametrize("command", ["decode", "info"])
def test_bad_ecdc_files_are_refused(command, case, packets, model, tmp_path, capsys):
    data, reason = packets[case]
    file = tmp_path / "bad.ecdc"
    file.write_bytes(data)
    argv = [command, file, tmp_path / "out.wav"] if command == "decode" else [command, file]
    refused(capsys, [*argv, "-m", model], named=file, reason=reason, folder=tmp_path)


@pytest.mark.parametrize("length", [2, 10**15, 2**62])
def test_what_the_released_package_entropy_codes_is_said_at_once(length, tmp_path, capsys):
    for model in ("encodec_24khz", "encodec_48khz"):
        file = tmp_path / f"{model}.ecdc"
        file.write_bytes(ecdc(m=model, al=length, lm=True))
        refused(capsys, ["decode", file, tmp_path / "o.wav"], named=file, reason="is entropy-coded", folder=tmp_path)
        assert main(["info", str(file)]) == 0
        assert f"{length} samples" in capsys.readouterr().out


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_files_of_another_model_are_refused_and_the_name_in_them_opens_nothing(name, model, tmp_path, capsys):
    file = tmp_path / "other.ecdc"
    file.write_bytes(ecdc(m=name, payload=b"of another size"))
    argv = ["decode", file, tmp_path / "out.wav"]
    refused(capsys, [*argv, "-m", model], named=file, reason=f"by the model {name}", folder=tmp_path)
    refused(capsys, argv, named=file, reason="say with -m", folder=tmp_path)


@pytest.mark.parametrize("case", BAD_AUDIO)
def test_bad_audio_is_refused(case, model, tmp_path, capsys):
    file = tmp_path / "bad.wav"
    data, reason = BAD_AUDIO[case]
    file.write_bytes(data)
    refused(capsys, ["encode", file, tmp_path / "out.ecdc", "-m", model], named=file, reason=reason, folder=tmp_path)


@pytest.mark.parametrize(("rate", "channels", "samples"), [(24_000, 1, 1), (192_000, 8, 9999), (8000, 2, 1)])
def test_unusual_but_legal_audio_is_converted(rate, channels, samples, model, tmp_path, capsys):
    file, packet, out = tmp_path / "in.wav", tmp_path / "a.ecdc", tmp_path / "out.wav"
    soundfile.write(file, np.full((samples, channels), 0.25), rate)
    assert main(["encode", str(file), str(packet), "-m", str(model), "-q"]) == 0
    assert main(["decode", str(packet), str(out), "-m", str(model)]) == 0
    assert capsys.readouterr().err == ""
    info = soundfile.info(out)
    assert (info.samplerate, info.channels, info.frames) == (24_000, 1, (2 * samples * 24_000 + rate) // (2 * rate))


def test_files_that_are_missing_or_in_the_way_are_named(model, tmp_path, capsys):
    good, packet = tmp_path / "good.wav", tmp_path / "good.ecdc"
    good.write_bytes(wav_bytes(np.zeros(700)))
    assert main(["encode", str(good), str(packet), "-m", str(model)]) == 0
    capsys.readouterr()
    there, nowhere = tmp_path / "there.wav", tmp_path / "no" / "folder" / "out"
    there.write_bytes(b"precious")
    cases = [
        (["encode", tmp_path / "missing.wav", tmp_path / "o.ecdc"], tmp_path / "missing.wav", "no such file"),
        (["encode", tmp_path, tmp_path / "o.ecdc"], tmp_path / "o.ecdc", "is no folder, and 2 files go into a folder"),
        (["encode", good, packet], packet, "exists already"),
        (["encode", good, nowhere.with_suffix(".ecdc")], nowhere.with_suffix(".ecdc"), "there is no folder"),
        (["encode", good, tmp_path / "o.txt"], tmp_path / "o.txt", ".ecdc or .wav or .flac is what the name"),
        (["encode", good, tmp_path / "o.ecdc", "-b", "7"], model, "choose from 0.75, 1.5, 3, 6"),
        (["decode", tmp_path / "missing.ecdc", tmp_path / "o.wav"], tmp_path / "missing.ecdc", "no such file"),
        (["decode", packet, there], there, "exists already"),
        (["decode", packet, nowhere.with_suffix(".wav")], nowhere.with_suffix(".wav"), "there is no folder"),
        (["decode", packet, tmp_path / "o.mp3"], tmp_path / "o.mp3", ".wav or .flac is what"),
        (["info", tmp_path / "missing.wav"], tmp_path / "missing.wav", "no such file"),
        (["info", tmp_path / "missing\n.ecdc"], tmp_path / "missing�.ecdc", "no such file"),
    ]
    for argv, named, reason in cases:
        refused(capsys, [*argv, "-m", model], named=named, reason=reason, folder=tmp_path)
    assert there.read_bytes() == b"precious"
    missing = tmp_path / "no.safetensors"
    for argv in (["encode", good, tmp_path / "o.ecdc"], ["decode", packet, tmp_path / "o.wav"], ["info", packet]):
        refused(capsys, [*argv, "-m", missing], named=missing, reason="no such model", folder=tmp_path)
    refused(capsys, ["info", missing], named=missing, reason="no such model", folder=tmp_path)
    refused(capsys, ["decode", packet, tmp_path / "o.wav"], named=packet, reason="say with -m", folder=tmp_path)


def test_no_work_is_done_for_an_output_that_cannot_be_written(model, tmp_path, capsys, monkeypatch):
    def work(*args):
        raise AssertionError("in vain")

    there = {"encode": tmp_path / "there.ecdc", "decode": tmp_path / "there.wav"}
    monkeypatch.setattr("minicodec.audio.read", work)
    monkeypatch.setattr("minicodec.load", work, raising=False)
    for command, out in there.items():
        out.write_bytes(b"precious")
        refused(capsys, [command, out, out, "-m", model], named=out, reason="exists already", folder=tmp_path)


# Runs each command line of a JSON list and prints, for each, its status and the peak memory of the process so far,
# in MB. (Linux tells the peak of this program alone; getrusage would count the test process that it was forked from.)
WATCHED = """
import json, sys
from minicodec.cli import main
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1000
print(json.dumps([(main(argv), peak()) for argv in json.loads(sys.argv[1])]), file=sys.stderr)
"""


@pytest.mark.thorough
def test_no_bad_file_takes_much_memory(packets, model, tmp_path):
    commands = [["info", str(model)]]
    for number, (data, _) in enumerate(packets.values()):
        file = tmp_path / f"{number}.ecdc"
        file.write_bytes(data)
        commands.append(["decode", str(file), str(tmp_path / "out.wav"), "-m", str(model)])
    with open(tmp_path / "0.ecdc", "wb") as sparse:  # a good file, and then 4 GB of nothing
        sparse.write(packets["one byte more"][0])
        sparse.truncate(1 << 32)
    for number, (data, _) in enumerate(BAD_AUDIO.values()):
        file = tmp_path / f"{number}.wav"
        file.write_bytes(data)
        commands.append(["encode", str(file), str(tmp_path / "out.ecdc"), "-m", str(model)])
    process = subprocess.run([sys.executable, "-c", WATCHED, json.dumps(commands)], capture_output=True, check=False)
    *lines, results = process.stderr.decode().splitlines()
    (status, idle), *refusals = json.loads(results)
    assert status == 0
    assert [status for status, _ in refusals] == [2] * len(refusals)
    assert len(lines) == len(refusals)
    assert all(line.startswith(f"minicodec: {tmp_path}") for line in lines)
    assert max(peak for _, peak in refusals) < idle + 200


@pytest.mark.parametrize("case", ["length 10^15", "JSON bomb of lists"])
def test_the_command_itself_leaves_one_line_and_status_2(case, packets, model, tmp_path):
    file = tmp_path / "bad.ecdc"
    file.write_bytes(packets[case][0])
    command = [sys.executable, "-m", "minicodec", "decode", file, tmp_path / "out.wav", "-m", model]
    process = subprocess.run(command, capture_output=True, check=False)
    assert process.returncode == 2
    assert process.stdout == b""
    (line,) = process.stderr.decode().splitlines()
    assert line.startswith(f"minicodec: {file}: ")
    assert list(tmp_path.iterdir()) == [file]
