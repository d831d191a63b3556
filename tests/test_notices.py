"""What the command line says beside its work: how sound is converted, what is odd about it, in as few lines as that."""

import json
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import COMMANDS, main
from minicodec.cli.completion import options
from minicodec.cli.decoder_messages import left_out
from minicodec.cli.text import table
from minicodec.evaluation.tables import fitting
from minicodec.training import config


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noise(channels=1, frames=24_000):
    return np.random.default_rng(0).normal(0, 0.1, (frames, channels)).astype(np.float32)


def notices(capsys, *argv):
    """The lines on stderr of a command that ends well."""
    assert main([str(a) for a in argv]) == 0
    return capsys.readouterr().err.splitlines()


def test_a_conversion_is_told_once(place, model, capsys):
    for name in "abc":
        soundfile.write(f"{name}.wav", noise(1 if name == "c" else 2), 44_100)
    soundfile.write("same.wav", noise(), 24_000)
    assert notices(capsys, "encode", "a.wav", "b.wav", "c.wav", "same.wav", "-m", model) == [
        "minicodec: a.wav: 2 channels at 44100 Hz became 1 channel at 24000 Hz, as the model needs it",
        "minicodec: c.wav: 1 channel at 44100 Hz became 1 channel at 24000 Hz, as the model needs it",
    ]
    assert notices(capsys, "encode", "a.wav", "q.ecdc", "-m", model, "-q") == []


@pytest.mark.parametrize(("right", "told"), [(-1.0, True), (-0.9, True), (1.0, False), (0.0, False), (None, False)])
def test_channels_that_cancel_are_told(right, told, place, model, capsys):
    """Opposite ones, not equal ones, one silent one, or two that have nothing to do with each other."""
    wav = noise(2)
    if right is not None:
        wav[:, 1] = right * wav[:, 0]
    soundfile.write("a.wav", wav, 24_000)
    lines = notices(capsys, "encode", "a.wav", "-m", model)[1:]
    assert lines == (["minicodec: a.wav: its channels cancel each other: little is left when they are mixed"] * told)


@pytest.mark.parametrize(("peak", "told"), [(1.3, False), (9.5, True)])
def test_peaks_far_above_1_are_told(peak, told, place, model, capsys):
    wav = noise()
    soundfile.write("a.wav", wav * peak / np.abs(wav).max(), 24_000, subtype="FLOAT")
    line = "minicodec: a.wav: has peaks of 9.5: models expect audio within -1 … 1, so make it quieter"
    assert notices(capsys, "encode", "a.wav", "-m", model) == [line] * told


def test_what_is_missing_or_denied_is_told_and_the_rest_encoded(place, model, capsys):
    soundfile.write("whole.wav", noise(), 24_000)
    content = bytearray((place / "whole.wav").read_bytes())
    (place / "cut.wav").write_bytes(content[: 44 + 24_000])
    content[40:44] = bytes(4)
    (place / "denied.wav").write_bytes(content)
    soundfile.write("whole.mp3", noise(), 24_000)
    (place / "short.mp3").write_bytes((place / "whole.mp3").read_bytes()[:4000])
    lines = notices(capsys, "encode", "cut.wav", "denied.wav", "short.mp3", "whole.mp3", "-m", model)
    read = audio.read("short.mp3")[0].shape[1]
    assert 5_000 < read < 20_000
    assert lines == [
        "minicodec: cut.wav: 0.50 of its 1.00 s are missing (cut off, or damaged)",
        "minicodec: denied.wav: its header says that it is empty; the 1.00 s behind it are used",
        f"minicodec: short.mp3: {1 - read / 24_000:.2f} of its 1.00 s are missing (cut off, or damaged)",
    ]
    codec = minicodec.load(model)
    assert (place / "denied.ecdc").read_bytes() == codec.compress(audio.read("whole.wav")[0], 6)
    assert (place / "cut.ecdc").is_file()


def test_nothing_of_the_mp3_decoder_reaches_stderr(place, model):
    """libmpg123 complains of damaged files by itself, on the descriptor of stderr; here it did."""
    soundfile.write("a.mp3", noise(1, 240_000), 24_000)
    content = bytearray((place / "a.mp3").read_bytes())
    content[5000:6000] = np.random.default_rng(0).bytes(1000)
    (place / "a.mp3").write_bytes(content)
    read = [sys.executable, "-c", "from minicodec import audio; audio.read('a.mp3')"]
    assert b"mpg123" in (raw := subprocess.run(read, capture_output=True, check=False).stderr) or b"Note" in raw
    for argv in (["encode", "a.mp3", "-m", str(model)], ["info", "a.mp3"]):
        done = subprocess.run([sys.executable, "-m", "minicodec", *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert all(line.startswith("minicodec: a.mp3: ") for line in done.stderr.splitlines()), done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
@pytest.mark.parametrize("lines", [1, 3000])
@pytest.mark.parametrize("failed", [False, True])
def test_what_others_write_to_stderr_last_is_not_lost(lines, failed, capfd):
    text = "a line that matters\n" * lines
    open_before = sorted(os.listdir("/dev/fd"))
    with suppress(ValueError), left_out():
        os.write(2, b"Note: of libmpg123\n" + text.encode())
        if failed:
            raise ValueError
    assert capfd.readouterr().err == text
    assert sorted(os.listdir("/dev/fd")) == open_before


@pytest.mark.skipif(os.name != "posix", reason="descriptors of POSIX")
def test_a_process_that_lives_on_keeps_stderr_and_does_not_hold_up_the_end(capfd):
    threads, open_before = threading.enumerate(), sorted(os.listdir("/dev/fd"))
    talker = [sys.executable, "-c", "import sys; sys.stdin.read(); sys.stderr.write('from the child\\n')"]
    with left_out():
        child = subprocess.Popen(talker, stdin=subprocess.PIPE)
    assert child.poll() is None
    child.communicate()
    for thread in set(threading.enumerate()) - set(threads):
        thread.join()
    assert capfd.readouterr().err == "from the child\n"
    assert sorted(os.listdir("/dev/fd")) == open_before


@pytest.mark.thorough
def test_nothing_of_the_mp3_decoder_reaches_stderr_in_a_training(place, model):
    """What Python, and other libraries, write there does; so does the line about a file that is left out."""
    (place / "data").mkdir()
    for i in range(3):
        soundfile.write(f"data/{i}.mp3", noise(1, 48_000), 24_000)
        content = bytearray((place / f"data/{i}.mp3").read_bytes())
        content[3000:4000] = np.random.default_rng(i).bytes(1000)
        (place / f"data/{i}.mp3").write_bytes(content)
    (place / "data/none.wav").write_bytes(b"no")
    settings = [
        "steps=1",
        "batch=2",
        "seconds=0.5",
        "valid_clips=1",
        "valid_seconds=0.25",
        "warmup_steps=1",
        "log_every=1",
    ]
    command = [sys.executable, "-c", TRAIN, "train", "tiny_24khz", "--data", "data", "--out", "run", "--set", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert any(line.startswith("left out: ") for line in lines)
    assert "a library's own line" in lines
    assert not any("mpg123" in line or line.startswith(("Note: ", "Warning: ")) for line in lines), done.stderr


TRAIN = """
import os, sys
from minicodec.cli import main
from minicodec.training import run as runs
start = runs.start
def start_and_print(*args, **kwargs):
    os.write(2, b"a library's own line\\n")
    return start(*args, **kwargs)
runs.start = start_and_print
sys.exit(main(sys.argv[1:]))
"""
MEMORY = """
import sys
from minicodec.cli import main
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1000
assert main(["encode", "short.wav", "-q", "-m", sys.argv[1]]) == 0
before = peak()
assert main(["encode", "bomb.ogg", "-q", "-m", sys.argv[1]]) == 0
print(peak() - before)
"""


@pytest.mark.thorough
def test_many_channels_at_a_high_rate_take_little_memory(place, model):
    """64 channels of 6 s at 192 kHz, silent, take some kB in a file, and would be 295 MB as an array."""
    soundfile.write("short.wav", noise(2), 44_100)
    with soundfile.SoundFile("bomb.ogg", "w", 192_000, 64, format="OGG", subtype="VORBIS") as file:
        for _ in range(60):
            file.write(np.zeros((19_200, 64), np.float32))
    assert (place / "bomb.ogg").stat().st_size < 2_000_000
    done = subprocess.run([sys.executable, "-c", MEMORY, str(model)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200


@pytest.mark.parametrize("suffix", ["m4a", "webm"])
def test_formats_that_only_ffmpeg_knows_come_with_the_command(suffix, place, model, capsys):
    (place / f"talk.{suffix}").write_bytes(b"\0\0\0 ftypM4A " + bytes(200))
    assert main(["encode", f"talk.{suffix}", "-m", str(model)]) == 2
    pipe = f"ffmpeg -i talk.{suffix} -f wav - | minicodec encode - talk.ecdc"
    assert capsys.readouterr().err == f"minicodec: talk.{suffix}: {suffix} cannot be read; ffmpeg can: {pipe}\n"


def test_progress_in_a_pipe_is_quiet(place, model, monkeypatch, capsys):
    """Ten seconds between two looks at the clock: there would be a line for every block."""
    soundfile.write("long.wav", noise(1, 20 * 24_000), 24_000)
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    assert notices(capsys, "encode", "long.wav", "-m", model) == []
    lines = notices(capsys, "encode", "long.wav", "b.ecdc", "-v", "-m", model)
    assert any("s of audio/s" in line and "left" in line for line in lines)


def test_info_for_programs(place, model, capsys):
    soundfile.write("a.wav", noise(2, 12_000), 48_000)
    main(["encode", "a.wav", "-b", "1.5", "-m", str(model)])
    capsys.readouterr()

    def facts(*argv):
        assert main(["info", *map(str, argv), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert facts("a.wav") == {
        "format": "WAV", "subtype": "PCM_16", "seconds": 0.25, "samples": 12_000, "sample_rate": 48_000, "channels": 2
    }  # fmt: skip
    packet, size = facts("a.ecdc"), (place / "a.ecdc").stat().st_size
    assert (packet["samples"], packet["codebooks"], packet["frames"], packet["kbps_nominal"]) == (6000, 2, 19, 1.5)
    assert packet["payload_bytes"] + packet["header_bytes"] == size
    assert packet["kbps"] == pytest.approx(size * 8 / 250)
    assert [set(book) for book in packet["used"]] == [{"entries", "perplexity"}] * 2
    codec = minicodec.load(model)
    about = facts(model)
    assert (about["model"], about["kbps"], about["hop"]) == (codec.name, [0.75, 1.5, 3.0, 6.0], 320)
    assert about["parameters"]["decoder"] == sum(p.data.size for p in codec.decoder.parameters())


def test_bash_completes_commands_options_and_leaves_files_to_itself(place, capsys):
    assert main(["completion", "bash"]) == 0
    (place / "script").write_text(capsys.readouterr().out)

    def complete(*words):
        script = f"""
source ./script
COMP_WORDS=({" ".join(words)} ''); COMP_WORDS[{len(words) - 1}]='{words[-1]}'; COMP_CWORD={len(words) - 1}
_minicodec
echo "${{COMPREPLY[@]}}"
"""
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert complete("minicodec", "en") == ["encode"]
    assert set(complete("minicodec", "''")) >= {"encode", "help"} or set(complete("minicodec", "")) >= {"encode"}
    assert complete("minicodec", "encode", "--bit") == ["--bitrate"]
    assert complete("minicodec", "train-lm", "--res") == ["--resume"]
    assert complete("minicodec", "encode", "spee") == []


def test_zsh_and_fish_have_every_command_and_option(capsys):
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        for command, summary in COMMANDS.items():
            assert command in script
            assert summary.replace("'", "") in script.replace("'\"'\"'", "").replace("\\'", "")
        for spellings, _ in options("encode"):
            for word in spellings:
                option = f" -{'l' if word[:2] == '--' else 's'} {word.lstrip('-')} "
                assert (word if shell == "zsh" else option) in script


def test_tables_fit(monkeypatch):
    rows = [("mini_24khz-0123abcd", "bundled", "a" * 30), ("x", "", "b c")]
    monkeypatch.setenv("COLUMNS", "60")
    assert table(("name", "where", "what"), rows)[1] == f"mini_24khz-0123abcd  bundled  {'a' * 30}"
    monkeypatch.setenv("COLUMNS", "59")
    lines = table(("name", "where", "what"), rows)
    assert lines == ["mini_24khz-0123abcd", f"    bundled; {'a' * 30}", "x", "    b c"]


def test_evaluations_tables_are_split_where_they_do_not_fit():
    heads = ["system", "kbit/s", "aaaa", "bbbb", "cccc"]
    rows = [["a_model_with_a_long_name", "6", "1.23", "1.23", "1.23"]]
    assert fitting(heads, rows, 200) == [[0, 1, 2, 3, 4]]
    assert fitting(heads, rows, 26 + 8 + 3 * 6) == [[0, 1, 2, 3, 4]]
    assert fitting(heads, rows, 26 + 8 + 3 * 6 - 1) == [[0, 1, 2, 3], [0, 1, 4]]
    assert fitting(heads, rows, 10) == [[0, 1, 2], [0, 1, 3], [0, 1, 4]]
    assert fitting(heads, rows, 10, leading=1) == [[0, 1], [0, 2], [0, 3], [0, 4]]


def test_an_unknown_setting_gets_suggestions_and_no_list():
    with pytest.raises(minicodec.errors.InputError) as caught:
        config.from_preset("tiny_24khz", "data", ["foo=1"])
    assert str(caught.value).startswith("--set foo=1: there is no option foo; did you mean ")
    assert str(caught.value).count(",") == 2
    assert len(str(caught.value)) < 160


def test_jupyter_is_told_when_root_means_it(place, monkeypatch):
    called = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr("subprocess.run", lambda command, check: called.append(command) or done)
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user, raising=False)
        assert main(["chapters", "course"]) == 0
    assert [command[-1] for command in called] == ["--allow-root", "course"]


def test_decode_says_how_to_get_the_published_model_that_a_file_names(place, model, monkeypatch, capsys):
    monkeypatch.setenv("MINICODEC_CACHE", str(place / "cache"))
    text = json.dumps({"m": "encodec_24khz", "al": 320, "nc": 2, "lm": False}).encode()
    (place / "a.ecdc").write_bytes(struct.pack("!4sBI", b"ECDC", 0, len(text)) + text + bytes(3))
    assert main(["decode", "a.ecdc"]) == 2
    how = "say with -m where to find it, or get it with: minicodec fetch encodec_24khz"
    assert capsys.readouterr().err == f"minicodec: a.ecdc: was encoded by the model encodec_24khz; {how}\n"
    fetched = []
    monkeypatch.setattr("minicodec.cli.codecs.fetch", lambda name, *args, **kwargs: fetched.append(name))
    assert main(["decode", "a.ecdc", "--fetch"]) == 2  # nothing came
    assert fetched == ["encodec_24khz"]
    assert "minicodec fetch encodec_24khz" in capsys.readouterr().err
    assert main(["decode", "a.ecdc", "-m", str(model)]) == 2
    assert f"{model} is tiny_24khz-" in capsys.readouterr().err


def test_the_language_model_of_a_published_codec_has_a_name(place, monkeypatch, capsys):
    monkeypatch.setenv("MINICODEC_CACHE", str(place / "cache"))
    home = place / "cache" / "encodec_24khz"
    home.mkdir(parents=True)
    minicodec.build("encodec_24khz").save(home / "model.safetensors")
    soundfile.write("a.wav", noise(), 24_000)
    assert main(["encode", "a.wav", "-m", "encodec_24khz", "--lm"]) == 2
    assert capsys.readouterr().err.startswith("minicodec: encodec_lm_24khz: is not on this machine. Get it with: ")
