"""Text for people: one line of it, sizes, counts and times.

A message that passes needs nothing of it; what stands on its way imports it where it has something to say.
"""

from pfilter.base.errors import Interruption, PfilterError

SENTENCE_LIMIT = 300  # characters
MINUTES = "%Y-%m-%d %H:%M"
ISO = "%Y-%m-%dT%H:%M:%SZ"


def printable(text: str, instead: str = " ") -> str:
    """Return a text with `instead` for every control, line end, and whatever else would not be seen as it is."""
    return text if text.isprintable() else "".join(c if c.isprintable() else instead for c in text)


def sentence(error: BaseException) -> str:
    """Return one printable line that says what happened: no traceback."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename if isinstance(error.filename, str) else ""
        text = f"{name}: {error.strerror}" if name else error.strerror
    else:
        text = str(error) if isinstance(error, (PfilterError, Interruption)) else f"{type(error).__name__}: {error}"
    return printable(text)[:SENTENCE_LIMIT]


def without_tokens(line: str) -> str:
    """Return a line for Postfix and the log: ids of downloads, which stand in paths, cut to what the log shows too."""
    import re

    return re.sub(r"(?<![a-z2-7])([a-z2-7]{8})[a-z2-7]{24}(?![a-z2-7])", r"\1", line)


def human_size(octets: int) -> str:
    """Return a size as people write it, in decimal units: 940 bytes, 41 kB, 18.4 MB."""
    if octets < 1000:
        return f"{octets} bytes"
    value = float(octets)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 and unit != "kB" else f"{value:.0f} {unit}"


def exact_size(octets: int) -> str:
    """Return a limit as the configuration has it: 800 KiB, 1 GiB, 1234 octets."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if octets and octets % factor == 0:
            return f"{octets // factor} {unit}"
    return f"{octets} octets"


def counted(number: int, name: str) -> str:
    """Return a number of things: 1 file, 2 files."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def utc(seconds: float, form: str = MINUTES) -> str:
    """Return a time, in seconds since the epoch, in UTC, in a form of strftime(3)."""
    from time import gmtime, strftime

    return strftime(form, gmtime(seconds))
