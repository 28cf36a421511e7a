"""Files of unfinished work: whole or not there, and believed by their checksum."""

import itertools
import os

import pytest

from counterpoise.core import unfinished


def keep(path, content):
    with unfinished.keeping(path) as partial:
        partial.write_bytes(content)


def test_a_file_that_matches_its_checksum_is_kept_and_all_else_goes(tmp_path):
    for name in ("whole", "flipped", "emptied", "bare", "torn"):
        keep(tmp_path / "deep" / name, name.encode() * 10)
    (tmp_path / "deep/flipped").write_bytes(b"flippeD" + b"flipped" * 9)
    (tmp_path / "deep/emptied").write_bytes(b"")
    (tmp_path / f"deep/bare{unfinished.CHECKSUM}").unlink()
    (tmp_path / f"deep/torn{unfinished.CHECKSUM}").write_bytes(b"\xff")
    (tmp_path / f"gone{unfinished.CHECKSUM}").write_text("0")
    (tmp_path / f"half.7{unfinished.PARTIAL}").write_bytes(b"half")
    assert [path.name for path in unfinished.sweep(tmp_path)] == ["bare", "emptied", "flipped", "torn"]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["whole", f"whole{unfinished.CHECKSUM}"]
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert not unfinished.sweep(tmp_path)


@pytest.mark.parametrize("ends_at", range(8))
def test_a_process_that_ends_anywhere_leaves_the_old_file_or_the_new_one(tmp_path, monkeypatch, ends_at):
    path, calls, replace = tmp_path / "state", itertools.count(), os.replace
    keep(path, b"old")

    def killed(*names):
        if next(calls) == ends_at:
            raise KeyboardInterrupt
        return replace(*names)

    monkeypatch.setattr(os, "replace", killed)
    for content in (b"one", b"two", b"three"):  # each try goes on from what the one before has left
        try:
            keep(path, content)
        except KeyboardInterrupt:
            assert unfinished.is_whole(path) and path.read_bytes() in (b"old", b"one", b"two")
            assert not list(tmp_path.glob(f"*{unfinished.PARTIAL}"))
    assert unfinished.is_whole(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    keep(tmp_path / "state", b"old")
    with pytest.raises(OSError), unfinished.keeping(tmp_path / "state") as partial:
        partial.write_bytes(b"ne")
        raise OSError("no space")
    assert unfinished.is_whole(tmp_path / "state") and (tmp_path / "state").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
