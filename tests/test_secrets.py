"""No key, token or password lies in a file of the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECRETS = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[\r\n]|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    rb"|\bgithub_pat_\w{60}|\bxox[abprs]-[0-9A-Za-z-]{20}|\bAIza[0-9A-Za-z_-]{35}\b|\bsk-[A-Za-z0-9]{40}|\bhf_[A-Za-z0-9]{34}\b"
    rb"|AccountKey=[A-Za-z0-9+/]{40}|://[^/\s:@{}$<]+:[^/\s:@{}$<]{6,}@"
)


def found(content: bytes) -> bytes | None:
    match = SECRETS.search(content)
    return match[0] if match else None


def test_no_file_holds_a_secret():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("no git repository")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    assert not {str(file): secret for file in files if file.is_file() and (secret := found(file.read_bytes()))}


@pytest.mark.parametrize(
    "secret",
    [
        "AKIA" + "A" * 16,
        "ghp_" + "a" * 36,
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n",
        "https://me:" + "secret1@host/x",
    ],
)
def test_a_secret_is_found(secret):
    assert found(f"key = {secret}\n".encode())
