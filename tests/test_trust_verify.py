"""`counterpoise verify`: what DVC does not see is seen, and its advice mends it."""

import os
import shutil
from pathlib import Path

import pytest
from dvc.cli import main as dvc_command

from counterpoise.core import CounterpoiseError
from counterpoise.trust import command

PIPELINE = """
stages:
  one:
    cmd: mkdir -p out/deep && cp in/x out/x && cp in/y out/deep/y && echo table > t.csv && echo '{}' > m.json
    deps: [in]
    outs:
      - out
      - t.csv
      - m.json: {cache: false}
  two:
    cmd: cat out/x out/deep/y t.csv > z.bin
    deps: [out, t.csv]
    outs: [z.bin]
"""


def dvc(*arguments: str) -> int:
    return dvc_command([*arguments, "--quiet"])


def is_up_to_date() -> bool:
    return dvc("status") == 0


def verify(remote: str | None = None, mend: bool = False) -> tuple[bool, str]:
    said: list[str] = []
    return command.verify(remote, mend, said.append), "\n".join(said)


def follow(remote: str | None = None) -> str:
    """Do what is advised until nothing is, and return what was run."""
    commands = []
    for _ in range(4):
        whole, said = verify(remote)
        if whole:
            return "\n".join(commands)
        for line in said[said.index("Run:\n") + 5 :].splitlines():
            commands.append(line.strip().partition("  ")[0])
            program, *rest = commands[-1].split()
            if program == "dvc":
                dvc(*rest)
            else:
                verify(remote, mend="--mend" in rest)
    pytest.fail(f"the advice does not mend it: {commands}\n{said}")


def flip(path: Path) -> None:
    """Change one byte of a file as a bad disk would: nothing else of it changes, so that DVC does not look again."""
    mode, times = path.stat().st_mode, path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    path.chmod(mode)


def contents(*names: str) -> dict[Path, bytes]:
    paths = [
        path for name in names or ("out", "t.csv", "m.json", "z.bin") for path in [Path(name), *Path(name).rglob("*")]
    ]
    return {path: path.read_bytes() for path in paths if path.is_file()}


def objects(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder, "files").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    repo = tmp_path_factory.mktemp("made") / "repo"
    (repo / "in").mkdir(parents=True)
    (repo / "in/x").write_text("hello")
    (repo / "in/y").write_text("there")
    (repo / "dvc.yaml").write_text(PIPELINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repo)
        dvc("init", "--no-scm")
        dvc("repro")
        dvc("remote", "add", "-d", "store", "store")
        dvc("push")
        whole, said = verify("store")
        assert whole and "All of it is whole" in said and "dvc remote modify store verify true" in said
    return repo


@pytest.fixture
def repo(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    assert is_up_to_date()  # DVC has hashed everything once, and believes it from now on
    return tmp_path / "repo"


def test_damaged_objects_of_the_cache_are_taken_from_the_workspace(repo):
    before = contents()
    for path in objects(".dvc/cache"):  # the list of a folder's files among them
        flip(path)
    whole, said = verify()
    assert not whole and "cache: 5 files damaged" in said and "(out/deep/y, stage one)" in said
    assert follow() == "counterpoise verify --mend"
    assert contents() == before and is_up_to_date()


def test_damaged_files_of_the_workspace_are_taken_from_the_cache(repo):
    before = contents()
    flip(Path("out/x"))
    flip(Path("z.bin"))
    assert is_up_to_date()
    Path("out/deep/y").unlink()
    Path("out/more").write_text("left over")
    assert "out/more" in verify()[1]
    assert follow() == "counterpoise verify --mend"
    assert contents() == before


@pytest.mark.parametrize("pulled", [True, False])
def test_what_is_damaged_everywhere_is_pulled_or_made_again(repo, pulled):
    before = contents()
    if not pulled:
        dvc("remote", "remove", "store")
    for path in [*objects(".dvc/cache"), *before]:
        flip(path)
    assert not verify()[0]
    assert "dvc repro" in follow()
    assert contents() == before


def test_a_damaged_remote_is_found_and_filled_again(repo):
    dvc("remote", "modify", "store", "url", str(repo / "store"))
    before = contents("store/files")
    for path in before:
        flip(path)
    whole, said = verify("store")
    assert not whole and "remote store: 5 files damaged" in said
    assert "dvc push -r store" in follow("store")
    assert contents("store/files") == before


def test_an_input_that_changed_unseen_is_named_and_seen_again(repo):
    flip(Path("in/x"))
    assert is_up_to_date()
    whole, said = verify()
    assert not whole and "in/x" in said
    verify(mend=True)
    assert not is_up_to_date()
    assert "`dvc repro` takes them in" in verify()[1]


def test_a_verified_remote_stops_a_pull_of_damaged_objects(repo):
    dvc("remote", "modify", "store", "verify", "true")
    for path in objects("store"):
        flip(path)
    for name in (".dvc/cache", "out"):
        shutil.rmtree(name)
    Path("z.bin").unlink()
    assert dvc("pull") and not Path("z.bin").exists()


def test_without_a_repository_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CounterpoiseError, match="DVC says"):
        verify()
