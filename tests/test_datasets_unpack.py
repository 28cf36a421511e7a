import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from counterpoise.datasets import unpack as module
from counterpoise.datasets.unpack import ArchiveError, unpack

PLENTY = 10**6


def make_tar(path, *members, mode="w:gz"):
    """Members are (TarInfo, bytes) or (name, bytes)."""
    with tarfile.open(path, mode) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make_zip(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def unix(name, form):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (form | 0o644) << 16
    return info


def refuse(archive, match, max_bytes=PLENTY):
    """Unpacking is refused, nothing is left where it was tried, and nothing was written beside it."""
    place = archive.parent / "place"
    place.mkdir(exist_ok=True)
    before = set(archive.parent.rglob("*"))
    with pytest.raises(ArchiveError, match=match):
        unpack(archive, place / "out", max_bytes)
    assert set(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_files_and_folders_come_out_as_they_were_packed(tmp_path, make):
    archive = make(tmp_path / "a", ("set/audio/one.wav", b"1" * 3000), ("./set/two.txt", b""), ("three", b"333"))
    unpack(archive, tmp_path / "deep" / "out", PLENTY)
    files = {p.relative_to(tmp_path / "deep").as_posix(): p for p in (tmp_path / "deep").rglob("*") if p.is_file()}
    assert set(files) == {"out/set/audio/one.wav", "out/set/two.txt", "out/three"}
    assert files["out/set/audio/one.wav"].read_bytes() == b"1" * 3000
    assert files["out/three"].read_bytes() == b"333"


def test_empty_folders_are_made_and_dangerous_modes_are_not_taken_over(tmp_path):
    folder = tarfile.TarInfo("empty")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o000
    program = tarfile.TarInfo("program")
    program.mode = 0o4777
    unpack(make_tar(tmp_path / "a.tar.gz", (folder, b""), (program, b"x")), tmp_path / "out", PLENTY)
    assert list((tmp_path / "out" / "empty").iterdir()) == []
    assert not (tmp_path / "out" / "program").stat().st_mode & (stat.S_ISUID | stat.S_IWOTH)


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "a/..", "C:evil", "a\\..\\evil"])
def test_a_path_that_could_lead_outside_is_refused(tmp_path, make, name):
    refuse(make(tmp_path / "a", ("fine", b"fine"), (name, b"evil")), "could lead outside")


@pytest.mark.parametrize(
    "member",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "fine"),
        special("link", tarfile.LNKTYPE, "fine"),
        special("device", tarfile.CHRTYPE),
        special("device", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, member):
    refuse(make_tar(tmp_path / "a.tar", ("fine", b"fine"), member), "link, a device")


@pytest.mark.parametrize("form", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, form):
    refuse(make_zip(tmp_path / "a.zip", ("fine", b"fine"), (unix("odd", form), b"/etc/passwd")), "link, a device")


def test_an_encrypted_file_is_refused(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("secret", b"secret"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    archive.write_bytes(data)
    refuse(archive, "encrypted file: 'secret'")


@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_an_archive_that_grows_beyond_the_limit_is_stopped(tmp_path, make):
    archive = make(tmp_path / "a", ("one", bytes(60_000)), ("two", bytes(60_000)))
    assert archive.stat().st_size < 1500  # a small file that would become a large one
    refuse(archive, "more than is allowed", max_bytes=100_000)
    unpack(archive, tmp_path / "out", 120_000)


def test_a_sparse_file_counts_as_what_it_writes(tmp_path):
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "sparse"}
    info.pax_headers |= {"GNU.sparse.size": str(10**12), "GNU.sparse.numblocks": "0", "GNU.sparse.map": "0,0"}
    refuse(make_tar(tmp_path / "a.tar", (info, b""), mode="w:"), "more than is allowed")


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_a_file_where_a_folder_is_is_refused(tmp_path, make, first, second):
    refuse(make(tmp_path / "a", (first, b"1"), (second, b"2")), "is damaged, or holds what it must not")


def test_an_archive_of_too_many_entries_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    refuse(make_zip(tmp_path / "a.zip", *((f"{i}", b"") for i in range(4))), "too many bytes or files")


@pytest.mark.parametrize("keep", [0, 2, 20, 300, 0.5, 0.9, -4])
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_a_cut_archive_is_refused(tmp_path, make, keep):
    archive = make(tmp_path / "a", *((f"{i}", bytes(range(256)) * 10 * i) for i in range(1, 20)))
    data = archive.read_bytes()
    archive.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    refuse(archive, "is damaged")


def test_a_plain_tar_that_was_cut_between_two_files_is_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tar", ("one", bytes(512)), ("two", bytes(512)), mode="w:")
    archive.write_bytes(archive.read_bytes()[:1024])
    refuse(archive, "is damaged")


def test_a_tar_with_a_broken_header_inside_is_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tar", ("one", b"1" * 512), ("two", b"2" * 512), mode="w:")
    data = bytearray(archive.read_bytes())
    data[1024 + 10] ^= 255
    archive.write_bytes(data)
    refuse(archive, "is damaged")


def test_a_tar_that_goes_on_behind_its_end_is_refused(tmp_path):
    archive = make_tar(tmp_path / "plain.tar", ("one", b"1" * 512), mode="w:")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(archive.read_bytes() + bytes(2 * 2**20)))
    refuse(tmp_path / "a.tar.gz", "is damaged")


def test_changed_bytes_are_found_by_the_archive_s_own_checksums(tmp_path):
    archive = make_zip(tmp_path / "a.zip", (zipfile.ZipInfo("stored"), b"content"))
    archive.write_bytes(archive.read_bytes().replace(b"content", b"Content", 1))
    refuse(archive, "is damaged")
    archive = make_tar(tmp_path / "plain.tar", ("one", b"1" * 512), mode="w:")
    packed = bytearray(gzip.compress(archive.read_bytes()))
    packed[-5] ^= 255  # in the checksum at the end
    (tmp_path / "a.tar.gz").write_bytes(packed)
    refuse(tmp_path / "a.tar.gz", "is damaged")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>Please log in</html>" * 100)
    refuse(tmp_path / "a.zip", "is damaged")


def test_a_folder_that_exists_is_left_alone(tmp_path):
    archive = make_zip(tmp_path / "a.zip", ("one", b"1"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(ArchiveError, match="exists already"):
        unpack(archive, tmp_path / "out", PLENTY)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_what_a_killed_run_left_is_replaced(tmp_path):
    (tmp_path / ".out.unpacking").mkdir()
    (tmp_path / ".out.unpacking" / "half").write_text("half")
    unpack(make_zip(tmp_path / "a.zip", ("one", b"1")), tmp_path / "out", PLENTY)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one"]
    assert not (tmp_path / ".out.unpacking").exists()


def test_the_finishing_step_sees_everything_and_can_still_refuse(tmp_path):
    def finish(folder):
        assert (folder / "one").read_bytes() == b"1"
        raise ArchiveError("wrong content")

    archive = make_zip(tmp_path / "a.zip", ("one", b"1"))
    with pytest.raises(ArchiveError, match="wrong content"):
        unpack(archive, tmp_path / "out", PLENTY, finish)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
