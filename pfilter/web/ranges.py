"""Which octets of a file a request wants (RFC 9110, 13 and 14). Pure: headers in, a decision out.

What can't be understood, or would cost more than the whole file, is ignored: the answer is then the whole file, which
is always right. There are no dates here: no answer has Last-Modified, the entity tag is exact.
"""

from pfilter.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

RANGES_LIMIT = 16  # ranges in one request; readers of PDF ask for a handful


class RangeDecision(Frozen):
    """The status of the answer, and the ranges (start, end) that it has: none, one or many."""

    status: int
    ranges: tuple[tuple[int, int], ...]


def decide(headers: "Mapping[str, str]", size: int, etag: str, method: str = "GET") -> RangeDecision:
    """Return how to answer a GET or HEAD for a file that is there (RFC 9110, 13.2.2)."""
    if "if-match" in headers and not _matches(headers["if-match"], etag):
        return RangeDecision(412, ())
    if "if-none-match" in headers and _matches(headers["if-none-match"], etag):
        return RangeDecision(304, ())
    # For GET alone (14.2). Exactly this validator: else the file has changed, and pieces of both would be put together
    # (13.1.5).
    if method == "GET" and "range" in headers and headers.get("if-range", etag) == etag:
        found = parse(headers["range"], size)
        if found is not None:
            return RangeDecision(206 if found else 416, found)
    return RangeDecision(200, ((0, size),))


def parse(given: str, size: int) -> tuple[tuple[int, int], ...] | None:
    """Return the ranges of a Range field that exist, none if none does; None where it is to be ignored."""
    unit, equals, specs = given.partition("=")
    pieces = [piece.strip(" \t") for piece in specs.split(",")]
    if unit.strip().lower() != "bytes" or not equals or len(pieces) > RANGES_LIMIT:
        return None
    found = []
    for piece in pieces:
        first, dash, last = piece.partition("-")
        if not dash or not _number(first or "0") or not _number(last or "0") or not (first or last):
            return None
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) + 1, size) if first and last else size
        if start < end:
            found.append((start, end))
    # Overlaps and repetitions are how little requests make big answers.
    if sum(end - start for start, end in found) > size:
        return None
    return tuple(found)


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _matches(listed: str, etag: str) -> bool:
    """Whether a list of entity tags has this one; a weak one of the same octets will do."""
    return listed.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in listed.split(","))
