"""Names for files, as people write them and as any system takes them.

Names come as the sender wrote them, so every name goes through `safe_name` before it reaches a path, a header, a page
or a log line. What is encoded is decoded in `decoded`, which plain ASCII, and raw UTF-8, does not need.
"""

import os.path

from pfilter.message.model import Part

NAME_LIMIT = 150  # octets of UTF-8, extension included: fits any file system, with a suffix to spare
LONG_NAME = 4096  # characters of a name of which only the ends are looked at
FORBIDDEN = '/\\:*?"<>|'
INVISIBLE = "\u115f\u1160\u2800\u3164\uffa0"  # letters by category, blanks on screen
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789\u00b9\u00b2\u00b3"),
    "conin$",
    "conout$",
}
_ENDING_MARKS = {ord(mark): None for mark in "-_+~"}  # beside letters and digits


def file_name(part: Part, ordinal: int) -> str:
    """Return a safe file name for a part, with an ending; `ordinal` numbers those without a name: attachment-3.pdf."""
    name = safe_name(_given_name(part), "") or f"attachment-{ordinal}{_ending_of(part.type) or '.bin'}"
    return with_ending(name, part.type)


def with_ending(name: str, kind: bytes) -> str:
    """Return a safe name with the ending of a media type, where it has none: Windows opens nothing without.

    An ending is one of ASCII letters and digits: "v1.2", "24.11.2026" and "No. 5" have none, "volume.001" does. Where
    it has one, that is the sender's choice, whatever the type.
    """
    ending = os.path.splitext(name)[1].removeprefix(".")
    is_number = ending.isdecimal() and not (len(ending) == 3 and ending.startswith("0"))  # as of split archives
    if ending and ending.isascii() and ending.translate(_ENDING_MARKS).isalnum() and not is_number:
        return name
    added = _ending_of(kind)
    return safe_name(name + added, name) if added else name


def _ending_of(kind: bytes) -> str:
    from pfilter.base import filetypes  # most names have an ending

    return filetypes.ending(kind)


def _given_name(part: Part) -> str:
    """Return the name as the sender meant it: filename (RFC 2183) before name, RFC 2231 before what old readers get."""
    for wanted, pairs in ((b"filename", part.disposition_params), (b"name", part.params)):
        forms = [(name, value) for name, value in pairs if name.split(b"*")[0] == wanted and value]
        if not forms:
            continue
        extended = [(name, value) for name, value in forms if b"*" in name]
        if not extended and b"=?" not in forms[0][1]:
            return _raw_text(forms[0][1])
        from pfilter.message import decoded

        return decoded.file_name(wanted, extended or forms[:1]) or _raw_text(forms[0][1])
    return ""


def _raw_text(value: bytes) -> str:
    """Read raw octets as UTF-8, or as what Windows mailers meant where that fails."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def safe_name(name: str, fallback: str) -> str:
    """Return a name that is safe in a path, a URL, a header and on a screen, with its extension kept.

    NFC; no controls and no characters that reorder text; blanks of every width (macOS writes U+202F into the names of
    screenshots) are spaces; nothing that Windows reserves; no leading dot or dash, no trailing dot or blank; at most
    NAME_LIMIT octets. What nothing remains of becomes the fallback.
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1] if "/" in name or "\\" in name else name
    if len(name) > LONG_NAME:
        name = name[: LONG_NAME // 2] + name[-LONG_NAME // 2 :]
    if not name.isascii():
        import unicodedata

        name = unicodedata.normalize("NFC", name)
        name = "".join(" " if unicodedata.category(c) == "Zs" else c for c in name)
        name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
    kept = "".join("_" if c in FORBIDDEN else c for c in name if c.isprintable() and c not in INVISIBLE)
    if not kept.isascii():
        kept = unicodedata.normalize("NFC", kept)  # again: what was taken out may have stood between two marks
    kept = " ".join(kept.split()).lstrip(".- ").rstrip(". ")
    stem, extension = os.path.splitext(kept)
    if extension.startswith(".{"):  # Windows runs the program of a class id
        kept = kept.replace("{", "(").replace("}", ")")
        stem, extension = os.path.splitext(kept)
    if stem.split(".")[0].strip().lower() in DEVICES:
        stem = "_" + stem
    if len(extension.encode("utf-8")) > 20:
        stem, extension = stem + extension, ""
    room = NAME_LIMIT - len(extension.encode("utf-8"))
    stem = stem.encode("utf-8")[:room].decode("utf-8", "ignore").rstrip(". ")
    return stem + extension if stem else fallback


def distinct(names: list[str]) -> list[str]:
    """Return the names with -2, -3 before the extension of those that came before, case not counting."""
    taken: set[str] = set()
    last: dict[str, int] = {}  # of each name, so that a thousand of the same do not count to a thousand each
    result = []
    for name in names:
        stem, extension = os.path.splitext(name)
        number, candidate = last.get(name.casefold(), 1), name
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{stem}-{number}{extension}"
        last[name.casefold()] = number
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
