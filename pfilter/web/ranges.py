"""Which octets of a file a request wants (RFC 9110, 13 and 14). Pure: headers in, a decision out.

What can't be understood is ignored: the answer is then the whole file, which is always right. So it is for a request
for several ranges, which no program that downloads sends, and which may be answered so (14.2). There are no dates here:
no answer has Last-Modified, the entity tag is exact.
"""

from pfilter.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RangeDecision(Frozen):
    """The status of the answer, and what it has of the file: the octets from `start` up to `end`."""

    status: int
    start: int = 0
    end: int = 0


def decide(headers: "Mapping[str, str]", size: int, etag: str, method: str = "GET") -> RangeDecision:
    """Return how to answer a GET or HEAD for a file that is there (RFC 9110, 13.2.2)."""
    if "if-match" in headers and not _matches(headers["if-match"], etag):
        return RangeDecision(412)
    if "if-none-match" in headers and _matches(headers["if-none-match"], etag):
        return RangeDecision(304)
    # For GET alone (14.2). Exactly this validator: else the file has changed, and pieces of both would be put together
    # (13.1.5).
    if method == "GET" and "range" in headers and headers.get("if-range", etag) == etag:
        found = parse(headers["range"], size)
        if found:
            start, end = found
            return RangeDecision(206, start, end) if start < end else RangeDecision(416)
    return RangeDecision(200, 0, size)


def parse(given: str, size: int) -> tuple[int, int] | None:
    """Return start and end of what a Range field asks for, without an octet where the file has none of it.

    None where it is to be ignored.
    """
    unit, _, asked = given.partition("=")
    first, dash, last = asked.strip(" \t").partition("-")
    if unit.strip().lower() != "bytes" or not dash or not (first or last):
        return None
    if not _number(first or "0") or not _number(last or "0") or (first and last and int(last) < int(first)):
        return None
    if not first:
        return max(size - int(last), 0), size
    return min(int(first), size), min(int(last) + 1, size) if last else size


def _number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18


def _matches(listed: str, etag: str) -> bool:
    """Whether a list of entity tags has this one; a weak one of the same octets will do."""
    return listed.strip() == "*" or etag in (item.strip().removeprefix("W/") for item in listed.split(","))
