"""The same listening test for webMUSHRA."""

import shutil

import pytest

from minicodec.errors import InputError
from minicodec.evaluation.listening.stimuli import find_clips
from minicodec.evaluation.listening.webmushra import export
from tests.listening_folder import make_folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "compared")


def test_export_for_webmushra(folder, tmp_path):
    yaml = pytest.importorskip("yaml")
    clips = find_clips(folder, ["b*", "d*"], ["o*-6kbps"])
    path = export(clips, tmp_path / 'odd "name": #1')
    test = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert test["testId"] == path.parent.name
    welcome, (random, *pages), finish = test["pages"]
    assert (welcome["type"], random, finish["type"], finish["writeResults"]) == ("generic", "random", "finish", True)
    for page, clip in zip(pages, clips, strict=True):
        assert (page["type"], page["id"], page["randomize"]) == ("mushra", clip.name, True)
        assert page["createAnchor35"] is page["createAnchor70"] is page["showConditionNames"] is False
        assert list(page["stimuli"]) == ["lowpass-3.5kHz", "lowpass-7kHz", "opus-6kbps", "ours-6kbps"]
        for condition, address in {"reference": page["reference"], **page["stimuli"]}.items():
            root, _, inside = address.partition("configs/")
            assert root == ""
            assert (tmp_path / inside).read_bytes() == clip.conditions[condition].read_bytes()


def test_an_export_is_whole_or_not_there(folder, tmp_path, monkeypatch):
    clips = find_clips(folder)
    for target, reason in ((folder, "exists already"), (tmp_path / "no" / "new", "there is no folder")):
        with pytest.raises(InputError, match=reason):
            export(clips, target)
    monkeypatch.setattr(shutil, "copyfile", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match="cannot be written"):
        export(clips, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compared"]
