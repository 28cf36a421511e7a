"""What would stop DVC is named before DVC starts, with what to do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from counterpoise.cli import preflight
from counterpoise.core import CounterpoiseError

LOOP = "a link that leads to no file (Too many levels of symbolic links): delete it, or set it right"
GONE = "a link that leads to no file (No such file or directory): delete it, or set it right"


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own" / "bark"
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(b"sound")
    return tmp_path / "own"


def named(own):
    return {os.path.relpath(path, own): problem for path, problem in preflight.obstacles(str(own))}


def test_what_dvc_can_read_is_no_obstacle(own):
    (own / "link.wav").symlink_to("bark/a.wav")
    (own / "up").symlink_to("..")  # DVC does not enter it
    (own / "Größe \n.wav").touch()
    for name in (".git", ".hg", ".dvc"):  # DVC passes them over, whatever is in them
        (own / name).mkdir()
        (own / name / "loop").symlink_to("loop")
    assert named(own) == {} and named(own / "bark" / "a.wav") == {}


def test_links_that_lead_nowhere_are_named(own):
    (own / "loop.wav").symlink_to("loop.wav")
    (own / "bark" / "there").symlink_to("back")
    (own / "bark" / "back").symlink_to("there")
    (own / "gone.wav").symlink_to("nowhere.wav")
    assert named(own) == {"loop.wav": LOOP, "bark/there": LOOP, "bark/back": LOOP, "gone.wav": GONE}


def test_a_collection_that_is_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "own").symlink_to("own")
    assert named(tmp_path / "own") == {".": LOOP}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of DVC with params.yaml and dvc.yaml, and with git."""
    root = tmp_path / "repository"
    for folder in (".dvc", ".git", "data/own/bark", "data/raw", "data/unlabelled"):
        (root / folder).mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).write_text((Path(__file__).parents[1] / name).read_text())
    monkeypatch.chdir(root)
    return root


def said(repository, **data):
    yaml = YAML()
    params = yaml.load(repository / "params.yaml")
    params["data"] |= data
    yaml.dump(params, repository / "params.yaml")
    with pytest.raises(CounterpoiseError) as caught:
        preflight.check(Path("params.yaml"))
    return str(caught.value)


def test_a_repository_as_it_should_be_is_no_obstacle(repository):
    preflight.check(Path("params.yaml"))
    (repository / ".git").rmdir()
    (repository / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    preflight.check(Path("params.yaml"))


def test_no_git_is_named_with_the_command_that_mends_it(repository):
    (repository / ".git").rmdir()
    assert "is no git repository" in said(repository) and "`git init && git add -A" in said(repository)


@pytest.mark.parametrize("key", ["path", "unlabelled"])
@pytest.mark.parametrize("folder, out", [("data", "data/"), ("data/raw", "data/raw")])
def test_a_collection_where_the_pipeline_writes_is_named(repository, key, folder, out):
    text = said(repository, **{key: folder})
    assert f"data.{key} is {folder}, and the pipeline writes {out}" in text and "such as data/own" in text


def test_no_commit_and_letters_that_dvc_cannot_write_are_doubts(tmp_path, monkeypatch):
    root = tmp_path / "Töne"
    (root / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "-q"], check=True)
    commit, letters = preflight.doubts(root)
    assert "no commit yet" in commit.what and "git commit -m start" in commit.do
    assert "Töne" in letters.what and "--temp" in letters.why
    assert preflight.doubts(tmp_path) == []


def test_pipes_sockets_and_devices_are_named_and_not_opened(own, monkeypatch):
    monkeypatch.chdir(own)  # a socket's path must be short
    os.mkfifo("pipe.wav")
    (own / "link.wav").symlink_to("pipe.wav")
    (own / "zero.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        found = named(own)
    kinds = {"pipe.wav": "a pipe", "link.wav": "a pipe", "zero.wav": "a device", "socket": "a socket"}
    assert found == {
        name: f"{kind}, which DVC cannot read to its end: "
        + ("delete the link" if (own / name).is_symlink() else "move it out of this folder")
        for name, kind in kinds.items()
    }


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
def test_names_that_are_no_utf8_are_named(own):
    for name in (b"a\xff.wav", b"G\xfcte"):
        os.mkdir(os.fsencode(own) + b"/" + name)
        open(os.fsencode(own) + b"/" + name + b"/x.wav", "wb").close()  # told by its folder
    assert set(named(own).values()) == {"its name is no UTF-8: rename it"} and len(named(own)) == 2


@pytest.mark.parametrize("name", ["bark", "bark/a.wav", "."])
def test_what_may_not_be_read_is_named(own, monkeypatch, name):
    access = os.access  # root may read everything, so the refusal is acted
    monkeypatch.setattr(os, "access", lambda path, mode: path != os.path.normpath(own / name) and access(path, mode))
    assert named(own) == {name: "you may not read it: allow it (`chmod u+rX`), or move it away"}


def test_a_folder_that_cannot_be_listed_is_named_and_the_others_are_looked_at(own, monkeypatch):
    (own / "howl").mkdir()
    (own / "howl" / "loop").symlink_to("loop")
    scandir = os.scandir

    def failing(path):
        if path == str(own / "bark"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert named(own) == {"bark": "cannot be listed (Input/output error): move it away", "howl/loop": LOOP}


def test_an_ignore_file_among_the_sounds_is_named(own):
    (own / "bark" / ".dvcignore").touch()
    assert list(named(own)) == ["bark/.dvcignore"] and "move it out" in named(own)["bark/.dvcignore"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (".", "this repository lies in it"),
        ("..", "this repository lies in it"),
        ("/", "this repository lies in it"),
        ("/dev", "a part of the system"),
        ("/proc/self", "a part of the system"),
    ],
)
def test_neither_the_projects_own_files_nor_the_systems_are_to_be_moved(start, path, told):
    Path(".dvcignore").write_text("__pycache__\n")
    message = start(path)
    assert told in message and "Set it to the folder" in message
    assert "delete" not in message and "move" not in message


@pytest.mark.parametrize("folder", [".", ".dvc/cache", "models"])
def test_a_folder_that_may_not_be_written_is_named(own, start, monkeypatch, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    access = os.access  # root may write everything, so the refusal is acted
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == folder and mode & os.W_OK) and access(path, mode))
    assert f"{os.path.abspath(folder)} may not be written" in start("own")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs the check with data.path and data.unlabelled as told; its message, or "" if nothing is wrong."""
    yaml = YAML()
    whole = yaml.load(Path(__file__).parents[1] / "params.yaml")
    monkeypatch.chdir(tmp_path)
    Path("unlabelled").mkdir()

    def run(path, unlabelled="unlabelled"):
        whole["data"] |= {"path": path, "unlabelled": unlabelled}
        yaml.dump(whole, Path("params.yaml"))
        try:
            return preflight.check(Path("params.yaml")) or ""
        except CounterpoiseError as error:
            return str(error)

    return run


def test_nothing_is_said_where_nothing_is_wrong(own, start, capsys):
    assert start("own") == "" and capsys.readouterr().out == ""


def test_ten_obstacles_are_listed_and_the_rest_is_counted(own, start):
    for number in range(13):
        (own / f"{number:02}\x1b.wav").symlink_to("nowhere")
    lines = start("own").splitlines()
    assert lines[0] == "DVC cannot read all of data.path own:"
    assert lines[1:11] == [f"  own/{number:02}\\x1b.wav: {GONE}" for number in range(10)]
    assert lines[11:] == ["  and 3 more", "Then run `make run` again."]


def test_a_missing_collection_is_named(start):
    message = start("nowhere/UrbanSound8K")
    assert "data.path is nowhere/UrbanSound8K, which does not exist" in message and "Set it to the folder" in message


def test_a_mistake_in_params_is_told(start):
    message = start("")
    assert "data.path" in message and "at least 1 character" in message


def test_a_missing_folder_of_unlabelled_sounds_is_named(own, start):
    message = start("own", unlabelled="nowhere/unlabelled")
    assert (
        "data.unlabelled is nowhere/unlabelled, which does not exist" in message and "Set it to the folder" in message
    )


def test_what_dvc_cannot_read_of_unlabelled_sounds_is_named(own, start):
    Path("unlabelled/gone.wav").symlink_to("nowhere.wav")
    lines = start("own").splitlines()
    assert lines[:2] == ["DVC cannot read all of data.unlabelled unlabelled:", f"  unlabelled/gone.wav: {GONE}"]


@pytest.mark.parametrize("unlabelled", ["own/bark", "own", "link"])
def test_folders_of_which_one_lies_in_the_other_are_named(own, start, unlabelled):
    Path("link").symlink_to("own/bark")
    message = start("own", unlabelled)
    assert f"data.path is own, and data.unlabelled {unlabelled}: one lies in the other" in message
