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
OPEN_DOCUMENT = b"application/vnd.oasis.opendocument."
OPEN_XML = b"application/vnd.openxmlformats-officedocument."
# By media type, of what is opened by its ending. Types that stand for anything are not among them.
EXTENSIONS = {
    b"application/edi-x12": ".edi",
    b"application/edifact": ".edi",
    b"application/epub+zip": ".epub",
    b"application/gzip": ".gz",
    b"application/json": ".json",
    b"application/msword": ".doc",
    b"application/pdf": ".pdf",
    b"application/postscript": ".ps",
    b"application/rtf": ".rtf",
    b"application/vnd.ms-excel": ".xls",
    b"application/vnd.ms-outlook": ".msg",
    b"application/vnd.ms-powerpoint": ".ppt",
    OPEN_DOCUMENT + b"presentation": ".odp",
    OPEN_DOCUMENT + b"spreadsheet": ".ods",
    OPEN_DOCUMENT + b"text": ".odt",
    OPEN_XML + b"presentationml.presentation": ".pptx",
    OPEN_XML + b"spreadsheetml.sheet": ".xlsx",
    OPEN_XML + b"wordprocessingml.document": ".docx",
    b"application/x-7z-compressed": ".7z",
    b"application/x-pdf": ".pdf",
    b"application/x-tar": ".tar",
    b"application/x-zip-compressed": ".zip",
    b"application/xml": ".xml",
    b"application/zip": ".zip",
    b"audio/mp4": ".m4a",
    b"audio/mpeg": ".mp3",
    b"audio/ogg": ".ogg",
    b"audio/wav": ".wav",
    b"audio/x-wav": ".wav",
    b"image/bmp": ".bmp",
    b"image/gif": ".gif",
    b"image/heic": ".heic",
    b"image/jpeg": ".jpg",
    b"image/jpg": ".jpg",
    b"image/png": ".png",
    b"image/svg+xml": ".svg",
    b"image/tiff": ".tif",
    b"image/webp": ".webp",
    b"message/global": ".u8msg",  # RFC 6532, 3.7
    b"message/rfc822": ".eml",
    b"text/csv": ".csv",
    b"text/html": ".html",
    b"text/plain": ".txt",
    b"text/rtf": ".rtf",
    b"text/vcard": ".vcf",
    b"text/x-vcard": ".vcf",
    b"text/xml": ".xml",
    b"video/mp4": ".mp4",
    b"video/mpeg": ".mpg",
    b"video/quicktime": ".mov",
    b"video/webm": ".webm",
}
_ENDING_MARKS = {ord(mark): None for mark in "-_+~"}  # beside letters and digits


def file_name(part: Part, ordinal: int) -> str:
    """Return a safe file name for a part, with an ending; `ordinal` numbers those without a name: attachment-3.pdf."""
    fallback = f"attachment-{ordinal}{EXTENSIONS.get(part.type, '.bin')}"
    return with_ending(safe_name(_given_name(part), fallback), part.type)


def with_ending(name: str, kind: bytes) -> str:
    """Return a safe name with the ending of a media type, where it has none: Windows opens nothing without.

    An ending is one of ASCII letters and digits: "v1.2", "24.11.2026" and "No. 5" have none, "volume.001" does. Where
    it has one, that is the sender's choice, whatever the type.
    """
    ending = os.path.splitext(name)[1].removeprefix(".")
    is_number = ending.isdecimal() and not (len(ending) == 3 and ending.startswith("0"))  # as of split archives
    if ending and ending.isascii() and ending.translate(_ENDING_MARKS).isalnum() and not is_number:
        return name
    return safe_name(name + EXTENSIONS[kind], name) if kind in EXTENSIONS else name


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
