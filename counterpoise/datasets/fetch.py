"""Data sets from the network: downloads that resume, are checked before they count, and are unpacked with care."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TypeGuard

import pooch
import requests
import urllib3

from counterpoise.core import CounterpoiseError
from counterpoise.core.progress import progress
from counterpoise.core.runtime import exclusive
from counterpoise.datasets.unpack import ArchiveError, unpack

NOTICE = "LICENCE_AND_CITATION.txt"  # written beside the unpacked files
PROGRESS = 2**20  # bytes; an attempt that brought so many does not count as a failed one
LONGEST_WAIT = 900.0  # s; a server that asks for more patience (`Retry-After`) is given up for this time


class Answer(requests.HTTPError):
    """What :func:`_is_answer` knows of an error."""

    response: requests.Response


class FetchError(CounterpoiseError):
    """A data set that could not be fetched; the message names each address and how to do without."""


@dataclass(frozen=True)
class Archive:
    """A published archive: where it lies, how to know it, and what its authors ask of those who use it."""

    name: str  # of the data set, and of the folder that it is unpacked into
    file: str  # the archive's own name
    urls: tuple[str, ...]  # mirrors, tried in this order
    checksum: str | None  # "md5:…" or "sha256:…" as published; None where the archive's bytes are not stable
    max_bytes: int  # more than the unpacked files have
    licence: str
    citation: str
    homepage: str


def fetch(
    archive: Archive,
    folder: Path,
    check: Callable[[Path], None] | None = None,
    *,
    cache: Path | None = None,
    timeout: tuple[float, float] = (10.0, 30.0),
    attempts: int = 4,
    backoff: Callable[[int], float] = lambda failed: 2.0 ** (failed - 1),
) -> Path:
    """The unpacked data set in `folder`; downloaded and unpacked first where it is not there.

    The archive itself stays in the cache, so that a folder that was emptied is filled again without the network. Of two
    processes that fetch the same archive at once, the second waits and finds it there.

    Args:
        check: given the unpacked folder before it gets its name; raises ArchiveError where the content is wrong.
        cache: where archives and unfinished downloads are kept; None is the user's cache folder for counterpoise.
        timeout: seconds to wait for a connection, and for the next bytes.
        attempts: failures in a row, without progress between them, before the next mirror is asked.
        backoff: number of failures in a row → seconds to wait before the next attempt; longer where the server asks.

    Returns:
        `folder / archive.name`, which holds the archive's files and a text file with licence and citation.

    Raises:
        FetchError: no mirror gave the archive, it cannot be unpacked, or there is no room for it.
    """
    target = Path(folder) / archive.name
    if target.is_dir():
        return target
    cache = Path(pooch.os_cache("counterpoise") if cache is None else cache)
    notice = f"{archive.name} ({archive.homepage})\nLicence: {archive.licence}\nPlease cite: {archive.citation}\n"
    print(notice, end="", flush=True)

    def finish(unpacked: Path) -> None:
        if check is not None:
            check(unpacked)
        (unpacked / NOTICE).write_text(notice, encoding="utf-8")

    receive = partial(_receive, max_bytes=archive.max_bytes, timeout=timeout, attempts=attempts, backoff=backoff)
    failures = []
    for url in archive.urls:
        try:
            with exclusive(cache / f"{archive.file}.lock", wait=True):
                if target.is_dir():
                    return target
                path = _download(archive, url, cache, receive)
                unpack(path, target, archive.max_bytes, finish)
                return target
        except FetchError as error:
            failures.append(f"{url}: {error}")
        except ArchiveError as error:
            failures.append(f"{url}: {error}")
            if archive.checksum is not None:
                break  # other mirrors have the same bytes
            path.unlink()
        except OSError as error:
            failures.append(f"{url}: cannot be stored on this machine ({error})")
            break
    raise FetchError(
        "\n  ".join([f"{archive.name} could not be fetched:", *failures])
        + "\nAn unfinished download is kept: run the same command again to go on from there. Or fetch the archive by "
        f"hand (see {archive.homepage}) and save it as {cache / archive.file}; or unpack it yourself, set data.path to "
        "its folder and data.download to false."
    )


def _download(archive: Archive, url: str, cache: Path, receive: Callable[[str, Path], None]) -> Path:
    """The archive in the cache; it gets its name there only after its checksum, which is pooch's work."""
    part = cache / f"{archive.file}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"  # one for each mirror

    def resume(url: str, output_file: str, _: object) -> None:
        receive(url, part)
        os.replace(part, output_file)

    pooch.get_logger().setLevel("WARNING")  # its advice on checksums is for programmers
    try:
        path = Path(pooch.retrieve(url, archive.checksum, archive.file, cache, downloader=resume))
    except ValueError as error:
        raise FetchError(f"the checksum is wrong ({error})") from None
    for left in cache.glob(f"{archive.file}.*.part*"):
        left.unlink()
    return path


def _receive(
    url: str,
    part: Path,
    max_bytes: int,
    timeout: tuple[float, float],
    attempts: int,
    backoff: Callable[[int], float],
) -> None:
    """Fill the part file, in as many requests as it takes while each brings something new."""
    failed, most = 0, _size(part)
    while True:
        try:
            return _request(url, part, max_bytes, timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            failed = 1 if _size(part) >= most + PROGRESS else failed + 1
            most = max(most, _size(part))
            asked = _asked(error)
            if failed >= attempts or asked > LONGEST_WAIT or not _may_pass(error):
                raise FetchError(_reason(error, timeout) + (f", {failed} times" if failed > 1 else "")) from None
        if asked:
            print(f"{url} is busy and asks to wait {asked:.0f} s", flush=True)
        time.sleep(max(asked, backoff(failed)))


def _request(url: str, part: Path, max_bytes: int, timeout: tuple[float, float]) -> None:
    """One request for what the part file lacks; it starts over where the server's file is no longer the same."""
    version_file = part.with_name(f"{part.name}.json")
    known = _known(version_file)
    start = _size(part) if known else 0
    if known and start and start == known["bytes"]:
        return None
    # Compression in transit would make the ranges count other bytes than those of the file.
    headers = {"User-Agent": f"counterpoise (pooch {pooch.__version__})", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        first, version = _version(response)
        if start and response.status_code in (206, 416) and (first, version) != (start, known):
            part.unlink()
            return _request(url, part, max_bytes, timeout)
        response.raise_for_status()
        start = first  # 0 where the server ignored the range and sends everything
        with open(part, "ab" if start else "wb") as file:
            version_file.write_text(json.dumps(version), encoding="utf-8")
            with progress(desc=url, total=version["bytes"], initial=start, unit="B", unit_scale=True) as bar:
                for block in response.raw.stream(2**16, decode_content=False):
                    if file.tell() + len(block) > max_bytes:
                        file.truncate(0)
                        raise FetchError(f"sends more than the {max_bytes} bytes that are allowed")
                    file.write(block)
                    bar.update(len(block))
    if version["bytes"] not in (None, _size(part)):
        raise requests.ConnectionError(f"ended after {_size(part)} of {version['bytes']} bytes")


def _known(version_file: Path) -> dict | None:
    try:
        return json.loads(version_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # ValueError: a run was killed while it wrote the file
        return None


def _version(response: requests.Response) -> tuple[int, dict]:
    """The first byte's position in the server's file, and what tells one version of that file from another."""
    headers = response.headers
    tag = headers.get("ETag") or headers.get("Last-Modified")
    part = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
    if response.status_code == 206 and part:
        return int(part[1]), {"tag": tag, "bytes": int(part[2])}
    length = headers.get("Content-Length", "")
    return 0, {"tag": tag, "bytes": int(length) if length.isdigit() else None}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_answer(error: Exception) -> TypeGuard["Answer"]:
    """Whether a server answered, with an error."""
    return isinstance(error, requests.HTTPError) and error.response is not None


def _asked(error: Exception) -> float:
    """The seconds that a busy server asks to wait (`Retry-After`, RFC 9110, section 10.2.3); 0 if it does not."""
    if not _is_answer(error) or error.response.status_code not in (429, 503):
        return 0.0
    asked = error.response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", asked, re.ASCII):
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, OverflowError):  # neither seconds nor a date
        return 0.0


def _may_pass(error: Exception) -> bool:
    if _is_answer(error):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    passing = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
    return isinstance(error, passing) and not isinstance(error, requests.exceptions.SSLError)


def _reason(error: Exception, timeout: tuple[float, float]) -> str:
    if _is_answer(error):
        patience = f", try again in {_asked(error):.0f} s" if _asked(error) else ""
        return f"HTTP {error.response.status_code} {error.response.reason}{patience}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {timeout[0]:g} s"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"no data for {timeout[1]:g} s"
    return str(error)
