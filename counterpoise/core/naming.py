"""Names that are safe everywhere: in file names, YAML, CSV tables, DVC and shells."""

import hashlib
import re
import unicodedata
from pathlib import PurePath

UNLABELLED = "unlabelled"  # what tables and files call sounds without a label; no class may have this slug


def slug(text: str) -> str:
    """A name of the characters a-z, 0-9 and _, which is safe in file names, YAML, DVC and shells.

    Compatibility forms are unified (NFKC), case and accents are dropped, everything else becomes `_`. A name of which
    nothing is left becomes `u` and eight digits of its SHA-256: "犬" is always "u1e82f9b0".
    """
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:64].strip("_") or f"u{_hash(text, 8)}"


def clip_id(below: str, number: int | None = None) -> str:
    """A clip's name: letters, digits and `_` only, the same on every machine.

    Args:
        below: the file's path below the collection's folder, in posix form. Its hash makes the name unique.
        number: which clip of a file that was cut; None where the file is one clip.
    """
    name = f"{slug(PurePath(below).stem)[:40]}_{_hash(below, 10)}"
    return name if number is None else f"{name}_{number:04d}"


def printable(text: str) -> str:
    r"""Text that a table can hold: NFC, with control characters and bytes that are no UTF-8 as `\x..`."""
    text = unicodedata.normalize("NFC", text).encode("utf-8", "backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def _hash(text: str, digits: int) -> str:
    normal = unicodedata.normalize("NFC", text)  # what macOS and Linux call the same file differs in form
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
