"""Fetching published models, from a server on this machine: whole, broken off, wrong, missing, twice at once.

The published files cannot be had here: these have their names and shapes, and random numbers.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import minicodec
from minicodec import download
from minicodec.cli import main
from minicodec.codec import fetch as fetching
from minicodec.codec.fetch import fetch
from minicodec.codec.foreign import released
from minicodec.codec.foreign.convert import ENCODEC, TRANSFORMERS, sources
from minicodec.codec.foreign.released import RELEASED, cache_folder, in_cache
from minicodec.codec.pretrained import find
from minicodec.errors import InputError
from tests.file_server import serve
from tests.torch_writer import th_file

SMALL = np.random.default_rng(0).bytes(900_000)  # stands for a language model, which is not looked into at first
LM = "encodec_lm_24khz"


def state(naming):
    """Random arrays with the names and shapes of the published 24 kHz codec."""
    rng, arrays = np.random.default_rng(0), {}
    for source in dict(sources(minicodec.build("encodec_24khz"), naming)).values():
        for name in source.names:
            arrays[name] = rng.normal(0, 0.05, source.shape).astype(np.float32)
    return arrays


@pytest.fixture(scope="module")
def codec_file():
    return th_file(state(ENCODEC))


def digest(content, digits=8):
    return hashlib.sha256(content).hexdigest()[:digits]


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server, an empty cache, and a table in which the published files come from the one and belong in the other."""
    monkeypatch.setenv("MINICODEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE", 0)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with serve({}) as server:

        def publish(name, content):
            file = f"{name}-{digest(content)}.th"
            server.files[file] = content
            monkeypatch.setitem(RELEASED, name, replace(RELEASED[name], url=server.url, files=(file,)))
            return file

        server.publish = publish
        monkeypatch.setattr(released, "HUB_URL", server.url)
        yield server


def quiet(line):
    """Say nothing."""


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_the_table_names_what_was_published():
    found = {name: (one.url, one.files) for name, one in RELEASED.items()}
    assert found["encodec_24khz"] == ("https://dl.fbaipublicfiles.com/encodec/v0/", ("encodec_24khz-d7cc33bc.th",))
    assert found["encodec_48khz"][1] == ("encodec_48khz-7e698e3e.th",)
    assert found["encodec_lm_24khz"][1] == ("encodec_lm_24khz-1608e3c0.th",)
    assert found["encodec_lm_48khz"][1] == ("encodec_lm_48khz-7add9fc3.th",)
    hub = ("https://huggingface.co/facebook/encodec_24khz/resolve/main/", ("config.json", "model.safetensors"))
    assert found["facebook/encodec_24khz"] == hub


def test_a_codec_is_fetched_converted_and_found_by_its_name(server, tmp_path, codec_file, capsys, monkeypatch):
    server.publish("encodec_24khz", codec_file)
    by_itself = tmp_path / "by itself.th"
    by_itself.write_bytes(codec_file)
    assert main(["fetch", "encodec_24khz"]) == 0
    captured = capsys.readouterr()
    home = tmp_path / "cache" / "encodec_24khz" / "model.safetensors"
    assert captured.out == f"{home}\n"
    assert "CC BY-NC 4.0" in captured.err
    assert files(tmp_path / "cache") == ["encodec_24khz/model.safetensors"]
    ours, theirs = minicodec.load("encodec_24khz"), minicodec.load(by_itself)
    assert ours.config == theirs.config
    for (name, array), (_, expected) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_array_equal(array.data, expected.data, err_msg=name)
    np.testing.assert_array_equal(ours.quantizer.codebooks, theirs.quantizer.codebooks)
    # It is there now: nothing more is asked for, also where nobody can write.
    monkeypatch.setattr(fetching, "check_target", lambda *args, **kwargs: pytest.fail("nothing to write"))
    assert fetch("encodec_24khz", say=pytest.fail) == home
    assert [request[0] for request in server.requests] == ["GET"]


def test_a_folder_of_transformers_by_its_name_on_hugging_face(server, tmp_path):
    """Weights come from another server, by a redirection whose header tells their digest."""
    weights = save(state(TRANSFORMERS) | {})
    place = "facebook/encodec_24khz/resolve/main/"
    config = {
        "model_type": "encodec", "compress": 2, "dilation_growth_rate": 2, "trim_right_ratio": 1.0, "num_filters": 32,
        "hidden_size": 128, "upsampling_ratios": [8, 5, 4, 2], "kernel_size": 7, "last_kernel_size": 7,
        "residual_kernel_size": 3, "num_residual_layers": 1, "num_lstm_layers": 2, "norm_type": "weight_norm",
        "use_causal_conv": True, "pad_mode": "reflect", "sampling_rate": 24_000, "codebook_size": 1024,
        "codebook_dim": 128, "target_bandwidths": [1.5, 3.0, 6.0, 12.0, 24.0], "audio_channels": 1,
        "chunk_length_s": None, "overlap": None, "normalize": False,
    }  # fmt: skip
    server.files |= {place + "config.json": json.dumps(config).encode(), "blob": weights[:-4] + b"oops"}
    server.redirects[place + "model.safetensors"] = "blob"
    server.headers[place + "model.safetensors"] = {"X-Linked-ETag": f'"{digest(weights, 64)}"'}
    hub = released._hub("facebook/encodec_24khz", 93, "", "", "")
    assert hub.url == server.url + place
    RELEASED["facebook/encodec_24khz"], before = hub, RELEASED["facebook/encodec_24khz"]
    try:
        with pytest.raises(InputError, match=rf"SHA-256 begins with .*, not with {digest(weights, 16)}"):
            fetch("facebook/encodec_24khz", say=quiet)
        assert in_cache("facebook/encodec_24khz") is None
        server.files["blob"] = weights
        home = fetch("facebook/encodec_24khz", say=quiet)
    finally:
        RELEASED["facebook/encodec_24khz"] = before
    assert home == tmp_path / "cache" / "facebook" / "encodec_24khz" == find("facebook/encodec_24khz")
    assert files(home) == ["config.json", "model.safetensors"]
    assert minicodec.load("facebook/encodec_24khz").config == minicodec.build("encodec_24khz").config


def test_the_licence_is_told_before_the_first_byte_is_asked_for(server):
    server.publish(LM, SMALL)
    said = []
    fetch(LM, say=lambda line: said.append((line, len(server.requests))))
    assert [asked for _, asked in said] == [0, 0]
    assert said[1][0].startswith("licence: the publisher's. The package encodec 0.1.1 of October 2022 is under CC BY")
    assert len(server.requests) == 1


def test_what_is_no_model_is_not_kept(server, tmp_path):
    place = "somebody/something/resolve/main/"
    server.files |= {place + "config.json": b"{}", place + "model.safetensors": save({"x": np.zeros(2, np.float32)})}
    with pytest.raises(InputError, match=r"config\.json: does not say 'model_type'"):
        fetch("somebody/something", say=quiet)
    assert files(tmp_path / "cache") == []
    with pytest.raises(InputError, match=r"^nothing: no such model; there are encodec_24khz, "):
        fetch("nothing", say=quiet)


def test_a_broken_download_goes_on_in_the_same_call_and_in_the_next(server, tmp_path):
    file = server.publish(LM, SMALL)
    server.budgets = [100_000] * download.ATTEMPTS
    with pytest.raises(InputError, match=rf"{file}: the connection broke off, 5 times; .*minicodec fetch {LM}"):
        fetch(LM, say=quiet)
    assert files(tmp_path / "cache") == [f"{file}.part"]
    server.budgets = [200_000]
    steps = []
    path = fetch(LM, lambda name: lambda done, total: steps.append((name, done, total)), quiet)
    assert path == tmp_path / "cache" / file
    assert path.read_bytes() == SMALL
    assert [r for _, _, r in server.requests[-2:]] == ["bytes=500000-", "bytes=700000-"]
    assert steps[-1] == (file, len(SMALL), len(SMALL))
    assert files(tmp_path / "cache") == [file]


def test_a_wrong_digest_is_refused_and_thrown_away(server, tmp_path):
    file = server.publish(LM, SMALL)
    server.files[file] = SMALL[:-1] + b"?"
    with pytest.raises(InputError, match=rf"{file}: is not what was published: .* not with {digest(SMALL)}; it was th"):
        fetch(LM, say=quiet)
    assert files(tmp_path / "cache") == []
    server.files[file] = SMALL
    assert fetch(LM, say=quiet).read_bytes() == SMALL


@pytest.mark.parametrize("reason", ["the server answers 404 Not Found", "cannot be reached (Connection refused)"])
def test_no_file_or_no_network_names_the_command_the_address_and_the_folder(reason, server, tmp_path, monkeypatch):
    file = server.publish(LM, SMALL)
    del server.files[file]
    if "reached" in reason:
        monkeypatch.setitem(RELEASED, LM, replace(RELEASED[LM], url="http://127.0.0.1:1/"))
    with pytest.raises(InputError) as caught:
        fetch(LM, say=quiet)
    by_hand = f"try again: minicodec fetch {LM}; {file} is also found if it is copied to {tmp_path / 'cache'} by hand"
    assert str(caught.value) == f"{RELEASED[LM].url}{file}: {reason}; {by_hand}"
    assert files(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written(server, monkeypatch):
    """Root may write anywhere but in /proc."""
    server.publish(LM, SMALL)
    monkeypatch.setenv("MINICODEC_CACHE", "/proc/minicodec")
    with pytest.raises(InputError, match=r"^/proc/minicodec: cannot be written .*; MINICODEC_CACHE names another"):
        fetch(LM, say=quiet)
    assert server.requests == []


TWICE = """
import json, sys
from dataclasses import replace
from minicodec.codec.foreign.released import RELEASED
from minicodec.codec.fetch import fetch
name, url, file = sys.argv[1:]
RELEASED[name] = replace(RELEASED[name], url=url, files=(file,))
print(fetch(name, say=lambda line: print(line, file=sys.stderr)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")
def test_two_processes_at_once_download_once(server, tmp_path):
    file = server.publish(LM, SMALL)
    command = [sys.executable, "-c", TWICE, LM, server.url, file]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert {out for out, _ in results} == {f"{tmp_path / 'cache' / file}\n"}
    assert len(server.requests) == 1
    assert (tmp_path / "cache" / file).read_bytes() == SMALL


def test_a_name_without_its_file_says_what_to_do_and_a_file_copied_by_hand_is_found(server, tmp_path, codec_file):
    file = server.publish("encodec_24khz", codec_file)
    with pytest.raises(InputError) as caught:
        minicodec.load("encodec_24khz")
    line = str(caught.value)
    assert line.startswith("encodec_24khz: is not on this machine. Get it with: minicodec fetch encodec_24khz (93 MB)")
    assert line.endswith(f"copy {file} from {server.url} to {tmp_path / 'cache'}")
    assert server.requests == []
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / file).write_bytes(codec_file)
    assert minicodec.load("encodec_24khz").config.name == "encodec_24khz"
    assert fetch("encodec_24khz", say=pytest.fail) == tmp_path / "cache" / "encodec_24khz" / "model.safetensors"
    assert minicodec.load("encodec_24khz").config.name == "encodec_24khz"
    assert server.requests == []


def test_models_lists_what_is_here_and_what_could_be(server, tmp_path, capsys, monkeypatch):
    file = server.publish(LM, SMALL)
    fetch(LM, say=quiet)
    other = tmp_path / "cache" / "somebody" / "else"
    other.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (other / name).write_bytes(b"{}")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "bundled" in lines["minicodec-24k"]
    assert "24 kHz mono; 0.75, 1.5, 3, 6 kbit/s" in lines["minicodec-24k"]
    assert "in the cache" in lines[LM]
    assert "in the cache" in lines["somebody/else"]
    for word in ("to fetch", "93 MB", "24 kHz mono; 1.5, 3, 6, 12, 24 kbit/s", "CC BY-NC 4.0 or MIT"):
        assert word in lines["encodec_24khz"]
    assert str(cache_folder()) in lines["cache:"]
    for width in (40, 60, 90):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["models"]) == 0
        out = capsys.readouterr().out
        assert "encodec_lm_24khz" in out
        assert all(len(line) <= width for line in out.splitlines() if str(tmp_path) not in line)
    assert file in os.listdir(tmp_path / "cache")


def test_without_the_variable_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.delenv("MINICODEC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/of/mine")
    if sys.platform == "linux":
        assert cache_folder() == Path("/somewhere/of/mine/minicodec")
    assert cache_folder().name.lower() == "minicodec" or "minicodec" in str(cache_folder())


def test_a_training_that_was_stopped_early_says_what_is_the_matter(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    with pytest.raises(InputError, match="is it a training run's folder, with a checkpoint saved"):
        minicodec.load(run)
    (run / "run.json").write_text('{"training": {"warmup_steps": 600}}')
    with pytest.raises(InputError, match=r"has no model\.safetensors: the training has saved no checkpoint yet"):
        minicodec.load(run)
    for step in (20, 55):
        (run / "checkpoints" / f"step-{step:08d}.safetensors").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        minicodec.load(run)
    assert str(caught.value).endswith(
        f"its codebooks begin at step 600, one after the other; it has 55; go on with: minicodec train --resume {run} "
        "--steps N"
    )
