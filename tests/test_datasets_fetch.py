import dataclasses
import hashlib
import io
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from counterpoise.core.progress import Lines
from counterpoise.datasets import fetch as module
from counterpoise.datasets.fetch import NOTICE, Archive, FetchError, fetch
from counterpoise.datasets.unpack import ArchiveError

AUDIO = np.random.default_rng(0).bytes(300_000)
WAITS = {"timeout": (5.0, 0.2), "attempts": 3, "backoff": lambda failed: 0.0}


def packed(content=AUDIO):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("set/audio/one.wav"), content)
    return buffer.getvalue()


BYTES = packed()


@pytest.fixture
def waited(monkeypatch):
    """The seconds that are waited between attempts, without waiting."""
    seconds = []
    monkeypatch.setattr(module.time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def serve(monkeypatch):
    """Start a server of {path: answer(handler, range start or None)}; gives its address and the requests it saw."""
    servers = []

    def start(answers):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                span = self.headers.get("Range")
                seen.append((self.path, span))
                self.close_connection = True
                first = int(span.removeprefix("bytes=").removesuffix("-")) if span else None
                answers.get(self.path, missing)(self, first)

            def log_message(self, *_):
                pass

        seen = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.stop = threading.Event()
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", seen

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield start
    for server in servers:
        server.stop.set()
        server.shutdown()
        server.server_close()


def head(handler, status, length, **headers):
    handler.send_response(status)
    for name, value in {"Content-Length": length, **headers}.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def missing(handler, _):
    head(handler, 404, 0)


def whole(content=BYTES, **headers):
    return lambda handler, _: (head(handler, 200, len(content), **headers), handler.wfile.write(content))


def ranged(content=BYTES, cut=None, etag='"v1"'):
    """A server that honours ranges, and ends the connection after `cut` bytes of each answer."""

    def answer(handler, first):
        if first is None:
            head(handler, 200, len(content), ETag=etag)
        elif first >= len(content):
            return head(handler, 416, 0, Content_Range=f"bytes */{len(content)}", ETag=etag)
        else:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            head(handler, 206, len(content) - first, Content_Range=span, ETag=etag)
        handler.wfile.write(content[first or 0 :][:cut])

    return answer


def in_turn(*answers):
    """Another answer to each request; the last one to all that follow."""
    left = list(answers)
    return lambda handler, first: (left.pop(0) if len(left) > 1 else left[0])(handler, first)


def status(code, **headers):
    return lambda handler, _: head(handler, code, 0, **headers)


def stall(handler, _):
    head(handler, 200, len(BYTES), ETag='"v1"')
    handler.wfile.write(BYTES[:1000])
    handler.server.stop.wait(5)


def archive(*urls, content=BYTES, algorithm="md5", **changes):
    checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    made = Archive("Set", "set.zip", urls, checksum, 10**6, "CC BY 4.0", "A. Nyone, 2020", "https://example.org/set")
    return dataclasses.replace(made, **changes)


def get(tmp_path, described, **changes):
    return fetch(described, tmp_path / "raw", cache=tmp_path / "cache", **(WAITS | changes))


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock")


def nothing_counts_as_complete(tmp_path):
    return not (tmp_path / "raw" / "Set").exists() and "set.zip" not in kept(tmp_path)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_an_archive_is_downloaded_checked_and_unpacked_with_its_licence(tmp_path, serve, capsys, algorithm):
    address, seen = serve({"/a": ranged()})
    folder = get(tmp_path, archive(f"{address}/a", algorithm=algorithm))
    assert folder == tmp_path / "raw" / "Set"
    assert (folder / "set" / "audio" / "one.wav").read_bytes() == AUDIO
    assert kept(tmp_path) == ["set.zip"] and (tmp_path / "cache" / "set.zip").read_bytes() == BYTES
    notice = (folder / NOTICE).read_text()
    assert "CC BY 4.0" in notice and "A. Nyone, 2020" in notice and "https://example.org/set" in notice
    assert notice in capsys.readouterr().out
    assert seen == [("/a", None)]


def test_what_is_there_is_not_fetched_again(tmp_path, serve):
    address, seen = serve({"/a": ranged()})
    described = archive(f"{address}/a")
    folder = get(tmp_path, described)
    assert get(tmp_path, described) == folder
    folder.rename(tmp_path / "gone")
    assert (get(tmp_path, described) / NOTICE).is_file()  # unpacked again from the cache
    assert len(seen) == 1


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_cut_download_goes_on_where_it_stopped(tmp_path, serve, etag):
    address, seen = serve({"/a": in_turn(ranged(cut=100_000, etag=etag), ranged(etag=etag))})
    folder = get(tmp_path, archive(f"{address}/a"))
    assert (folder / "set" / "audio" / "one.wav").read_bytes() == AUDIO
    assert seen == [("/a", None), ("/a", "bytes=100000-")]


def test_a_later_run_goes_on_where_an_earlier_one_was_cut(tmp_path, serve):
    address, seen = serve({"/a": in_turn(ranged(cut=100_000), status(503), status(503), ranged())})
    described = archive(f"{address}/a")
    with pytest.raises(FetchError, match="HTTP 503"):
        get(tmp_path, described)
    assert nothing_counts_as_complete(tmp_path)
    get(tmp_path, described)
    assert seen[-1] == ("/a", "bytes=100000-")
    assert kept(tmp_path) == ["set.zip"]


def test_an_interrupted_download_is_not_taken_for_complete_and_goes_on_later(tmp_path, serve, monkeypatch):
    address, seen = serve({"/a": ranged()})

    class Interrupted(Lines):
        def update(self, n=1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "progress", Interrupted)
        get(tmp_path, archive(f"{address}/a"))
    assert nothing_counts_as_complete(tmp_path)
    get(tmp_path, archive(f"{address}/a"))
    first, later = (span for _, span in seen)
    assert first is None and int(later.removeprefix("bytes=").removesuffix("-")) > 0


def test_a_run_that_was_killed_after_the_last_byte_asks_for_nothing_more(tmp_path, serve, monkeypatch):
    address, seen = serve({"/a": ranged()})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.os, "replace", killed)
        get(tmp_path, archive(f"{address}/a"))
    get(tmp_path, archive(f"{address}/a"))
    assert len(seen) == 1


def test_a_part_file_of_unknown_version_is_not_continued(tmp_path, serve):
    address, seen = serve({"/a": in_turn(ranged(cut=100_000), status(404), ranged())})
    with pytest.raises(FetchError):
        get(tmp_path, archive(f"{address}/a"))
    next((tmp_path / "cache").glob("*.json")).write_text('{"tag": "')
    get(tmp_path, archive(f"{address}/a"))
    assert [span for _, span in seen] == [None, "bytes=100000-", None]


def test_a_server_that_ignores_ranges_is_read_from_the_start(tmp_path, serve):
    address, seen = serve({"/a": in_turn(ranged(cut=100_000), whole(ETag='"v1"'))})
    folder = get(tmp_path, archive(f"{address}/a"))
    assert (folder / "set" / "audio" / "one.wav").read_bytes() == AUDIO
    assert seen[1] == ("/a", "bytes=100000-")


@pytest.mark.parametrize("size", [300_000, 250_000, 50_000])
def test_a_file_that_changed_on_the_server_is_read_from_the_start(tmp_path, serve, size):
    newer = packed(np.random.default_rng(1).bytes(size))
    address, seen = serve({"/a": in_turn(ranged(cut=100_000), ranged(newer, etag='"v2"'))})
    get(tmp_path, archive(f"{address}/a", content=newer))
    assert (tmp_path / "cache" / "set.zip").read_bytes() == newer
    assert [span for _, span in seen] == [None, "bytes=100000-", None]


def test_a_range_that_starts_elsewhere_is_not_appended(tmp_path, serve):
    def elsewhere(handler, first):
        ranged()(handler, None if first is None else first + 7)

    address, seen = serve({"/a": in_turn(ranged(cut=100_000), elsewhere)})
    get(tmp_path, archive(f"{address}/a"))
    assert [span for _, span in seen] == [None, "bytes=100000-", None]


def test_attempts_end_and_waits_grow(tmp_path, serve):
    waits = []
    address, seen = serve({"/a": status(503)})
    with pytest.raises(FetchError, match="HTTP 503 Service Unavailable, 4 times"):
        get(tmp_path, archive(f"{address}/a"), attempts=4, backoff=lambda failed: waits.append(failed) or 0.0)
    assert len(seen) == 4 and waits == [1, 2, 3]


def test_progress_between_failures_starts_the_count_anew(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 50_000)
    address, seen = serve({"/a": ranged(cut=60_000)})
    get(tmp_path, archive(f"{address}/a"), attempts=2)
    assert len(seen) == -(-len(BYTES) // 60_000)


def test_a_server_that_always_cuts_at_the_same_place_is_given_up(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 50_000)
    address, seen = serve({"/a": lambda handler, _: ranged(cut=60_000)(handler, None)})
    with pytest.raises(FetchError, match="2 times"):
        get(tmp_path, archive(f"{address}/a"), attempts=2)
    assert len(seen) == 2


def test_reaching_the_same_place_again_is_no_progress(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 50_000)
    short, long = (lambda handler, _, cut=cut: ranged(cut=cut)(handler, None) for cut in (10_000, 70_000))
    address, seen = serve({"/a": in_turn(short, long, short, long, short, long, status(404))})
    with pytest.raises(FetchError, match="3 times"):
        get(tmp_path, archive(f"{address}/a"), attempts=3)
    assert len(seen) == 4


def test_a_missing_file_sends_the_download_to_the_next_mirror_at_once(tmp_path, serve):
    address, seen = serve({"/b": ranged()})
    get(tmp_path, archive(f"{address}/a", f"{address}/b"))
    assert [path for path, _ in seen] == ["/a", "/b"]


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_server_is_given_the_seconds_that_it_asks_for(tmp_path, serve, waited, capsys, code):
    address, seen = serve({"/a": in_turn(status(code, Retry_After="37"), ranged())})
    get(tmp_path, archive(f"{address}/a"), backoff=lambda failed: 2.0)
    assert waited == [37.0] and len(seen) == 2
    assert f"{address}/a is busy and asks to wait 37 s" in capsys.readouterr().out


def test_a_busy_server_may_name_the_time_as_a_date(tmp_path, serve, waited):
    later, past = (formatdate(time.time() + seconds, usegmt=True) for seconds in (100, -100))
    answers = [status(503, Retry_After=date) for date in (later, past)]
    address, _ = serve({"/a": in_turn(*answers, ranged())})
    get(tmp_path, archive(f"{address}/a"), backoff=lambda failed: 2.0)
    assert 90 < waited[0] <= 100 and waited[1:] == [2.0]


@pytest.mark.parametrize("asked", ["0", "-5", "soon", "1e9", "\xb2", "Mon, 99 Foo 2026 25:00:00 GMT", ""])
def test_a_request_to_wait_that_says_nothing_leaves_the_usual_pause(tmp_path, serve, waited, asked):
    address, _ = serve({"/a": in_turn(status(503, Retry_After=asked), ranged())})
    get(tmp_path, archive(f"{address}/a"), backoff=lambda failed: 2.0)
    assert waited == [2.0]


def test_only_a_busy_server_can_ask_to_wait(tmp_path, serve, waited):
    address, _ = serve({"/a": in_turn(status(500, Retry_After="37"), ranged())})
    get(tmp_path, archive(f"{address}/a"), backoff=lambda failed: 2.0)
    assert waited == [2.0]


def test_a_server_that_asks_for_too_much_patience_sends_the_download_to_the_next_mirror(tmp_path, serve, waited):
    address, seen = serve({"/a": status(503, Retry_After="86400"), "/b": ranged()})
    get(tmp_path, archive(f"{address}/a", f"{address}/b"))
    assert waited == [] and [path for path, _ in seen] == ["/a", "/b"]
    with pytest.raises(FetchError, match="HTTP 503 Service Unavailable, try again in 86400 s"):
        get(tmp_path / "other", archive(f"{address}/a"))


def test_of_two_that_fetch_the_same_archive_at_once_the_second_waits_and_finds_it(tmp_path, serve, capsys):
    def slow(handler, first):
        handler.server.stop.wait(0.5)  # meanwhile the other one would ask, too
        ranged()(handler, first)

    address, seen = serve({"/a": slow})
    described = archive(f"{address}/a")
    with ThreadPoolExecutor(3) as pool:
        folders = [tmp_path / name for name in ("raw", "raw", "other")]
        given = {"cache": tmp_path / "cache", **WAITS, "timeout": (5.0, 5.0)}
        found = list(pool.map(lambda folder: fetch(described, folder, **given), folders))
    assert found == [folder / "Set" for folder in folders]
    assert all((folder / "set" / "audio" / "one.wav").read_bytes() == AUDIO for folder in found)
    assert len(seen) == 1 and kept(tmp_path) == ["set.zip"]
    assert "waiting for process" in capsys.readouterr().out


def test_wrong_bytes_send_the_download_to_the_next_mirror(tmp_path, serve):
    address, _ = serve({"/a": ranged(BYTES[:-1] + b"!"), "/b": ranged()})
    get(tmp_path, archive(f"{address}/a", f"{address}/b"))
    assert (tmp_path / "cache" / "set.zip").read_bytes() == BYTES


def test_a_stalled_server_sends_the_download_to_the_next_mirror(tmp_path, serve):
    address, seen = serve({"/a": stall, "/b": ranged()})
    get(tmp_path, archive(f"{address}/a", f"{address}/b"), attempts=1)
    assert [path for path, _ in seen] == ["/a", "/b"]


def test_when_every_mirror_fails_each_is_named_with_its_reason_and_the_way_round(tmp_path, serve):
    address, _ = serve({"/wrong": ranged(b"wrong bytes"), "/stall": stall})
    urls = [f"{address}/none", f"{address}/wrong", f"{address}/stall", "http://127.0.0.1:1/closed"]
    with pytest.raises(FetchError) as caught:
        get(tmp_path, archive(*urls), attempts=1)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Set could not be fetched:"
    for line, url, reason in zip(lines[1:5], urls, ("HTTP 404", "checksum is wrong", "no data for 0.2 s", "refused")):
        assert line.strip().startswith(f"{url}: ") and reason in line
    for part in ("https://example.org/set", str(tmp_path / "cache" / "set.zip"), "data.path", "data.download"):
        assert part in lines[5]
    assert nothing_counts_as_complete(tmp_path)


def test_an_archive_fetched_by_hand_into_the_cache_is_used(tmp_path, serve):
    address, seen = serve({})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "set.zip").write_bytes(BYTES)
    assert (get(tmp_path, archive(f"{address}/a")) / NOTICE).is_file() and seen == []


def test_a_damaged_archive_in_the_cache_is_fetched_again(tmp_path, serve):
    address, seen = serve({"/a": ranged()})
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "set.zip").write_bytes(BYTES[:1000])
    get(tmp_path, archive(f"{address}/a"))
    assert seen == [("/a", None)]


def test_an_endless_answer_is_stopped_and_its_bytes_are_thrown_away(tmp_path, serve):
    def endless(handler, _):
        head(handler, 200, None)
        try:
            while not handler.server.stop.is_set():
                handler.wfile.write(bytes(2**16))
        except OSError:
            pass

    address, _ = serve({"/a": endless})
    with pytest.raises(FetchError, match="more than the 400000 bytes"):
        get(tmp_path, archive(f"{address}/a", max_bytes=400_000))
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) < 1000


def test_an_archive_that_unpacks_too_large_is_refused_once_and_leaves_nothing(tmp_path, serve):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(10**6 + 1))
    address, seen = serve({"/a": ranged(bomb.getvalue()), "/b": ranged(bomb.getvalue())})
    with pytest.raises(FetchError, match="unpacks to more than is allowed"):
        get(tmp_path, archive(f"{address}/a", f"{address}/b", content=bomb.getvalue()))
    assert list((tmp_path / "raw").iterdir()) == [] and len(seen) == 1


def test_without_a_published_checksum_the_content_decides_which_mirror_is_right(tmp_path, serve):
    def check(folder):
        if (folder / "set" / "audio" / "one.wav").read_bytes() != AUDIO:
            raise ArchiveError("the audio is another one")

    address, seen = serve({"/page": whole(b"<html>"), "/other": ranged(packed(b"other")), "/right": ranged()})
    urls = [f"{address}/page", f"{address}/other", f"{address}/right"]
    folder = get(tmp_path, archive(*urls, checksum=None), check=check)
    assert (folder / NOTICE).is_file() and len(seen) == 3
    with pytest.raises(FetchError, match="(?s)is damaged.*the audio is another one"):
        fetch(archive(*urls[:2], checksum=None), tmp_path / "raw2", check, cache=tmp_path / "cache2", **WAITS)
    assert list((tmp_path / "raw2").iterdir()) == []
    assert not (tmp_path / "cache2" / "set.zip").exists()


def test_no_room_on_this_machine_is_said_as_such(tmp_path, serve):
    address, seen = serve({"/a": ranged(), "/b": ranged()})
    (tmp_path / "raw").write_text("a file where the folder should be")
    with pytest.raises(FetchError, match="cannot be stored on this machine"):
        get(tmp_path, archive(f"{address}/a", f"{address}/b"))
    assert len(seen) == 1
