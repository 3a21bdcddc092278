"""The delimiter lines of the multiparts that the scanner is in (RFC 2046, 5.1.1): which they are, where the next is.

Whole lines are compared, and every line that some parser could take for one makes the message ambiguous. Time grows
with the octets, whatever is in them: lines that are no delimiters are passed by the thousand once there are many.
"""

from pfilter.base.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    Found = tuple[int, int, int, bool]  # start, end, number of the multipart, whether it closes

FALSE_ALARMS = 64  # from then on lines are looked at by the thousand
LINES_FIRST = 256  # octets
SAMPLE = 256  # lines
LINES_AT_ONCE = 1 << 18
PASSED_PER_OCTET = 64  # of the delimiters in use: once so much is passed, a pattern of them gains what it costs
BRANCHES_DEEP = 6  # within each other; each takes a line as long as going through it
BARE_CR_LIMIT = 10_000  # before hyphens
PREFIXES_FEW = 4  # boundaries that are looked for behind a bare CR one by one
PREFIXES_LIMIT = 100  # boundaries that are looked for behind a bare CR; beyond, all that may be one counts
ROOM = 80  # octets behind a boundary that are looked at: blanks, and the line end
AMBIGUOUS = "line that starts like a delimiter"


def confuses(outer: bytes, inner: bytes) -> bool:
    """Whether parsers take a delimiter of one multipart for that of another which is open around it.

    Postfix compares beginnings, the innermost boundary first: an inner one that only goes on from the outer one is
    found first, as by all who compare whole lines. Not so the other way round, or where the outer one and what may
    stand behind it make the inner one.
    """
    return outer.startswith(inner) or (inner.startswith(outer) and inner[len(outer) :].startswith((b"--", b" ")))


def one_of(words: list[bytes], depth: int = BRANCHES_DEEP) -> bytes:
    """Return a regular expression for any of the words, of which none starts with another, in order; b"" for none.

    What words begin with in common is compared once, else the time for each line would grow with their number. Where
    that takes more than so many branches in each other, a line may take long after all: then there is none.
    """
    from re import escape

    first, last = words[0], words[-1]
    if first is last:
        return escape(first)
    if not depth:
        return b""
    shared = next(at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    groups: dict[bytes, list[bytes]] = {}
    for word in words:
        groups.setdefault(word[shared : shared + 1], []).append(word[shared:])
    branches = [one_of(group, depth - 1) for group in groups.values()]
    return escape(first[:shared]) + b"(?:" + b"|".join(branches) + b")" if all(branches) else b""


class Delimiters:
    """Those in use, by multipart. What they make ambiguous is added to `defects`."""

    def __init__(self, spool: Spool, eol: bytes, limit: int, defects: dict[str, None]) -> None:
        self.spool = spool
        self.has_cr = eol == b"\r\n"
        self.limit = limit  # octets of a boundary
        self.reach = limit + ROOM + bool(spool.wire)  # octets of a line that are looked at
        self.defects = defects
        self.lines: dict[bytes, tuple[int, bool]] = {}  # delimiter line -> number of its multipart, whether it closes
        self.numbers: list[int] = []  # of the multiparts, outermost first
        self.prefixes: tuple[bytes, ...] = ()  # their delimiters
        self.roots: list[bytes] = []  # those of them that start with no other one, in order; made when needed
        self.all_prefixes: dict[bytes, None] = {}
        self.heads: set[bytes] = set()  # what they start with, `least` octets each
        self.least = 0
        self.false_alarms = 0  # lines that start with hyphens and are no delimiters

    def add(self, number: int, boundary: bytes) -> None:
        """Look for the delimiter lines of a multipart from now on. Those of outer ones win."""
        delimiter = b"--" + boundary
        self.lines.setdefault(delimiter, (number, False))
        self.lines.setdefault(delimiter + b"--", (number, True))
        self.numbers.append(number)
        self.prefixes += (delimiter,)
        self.roots = []
        if len(self.all_prefixes) <= PREFIXES_LIMIT:
            self.all_prefixes[delimiter] = None

    def drop(self, first: int) -> None:
        """Look no more for the delimiter lines of multiparts from a number on."""
        gone = 0
        while self.numbers and self.numbers[-1] >= first:
            number = self.numbers.pop()
            gone += 1
            delimiter = self.prefixes[-gone]
            for line in (delimiter, delimiter + b"--"):
                if self.lines[line][0] == number:
                    del self.lines[line]
        if gone:
            self.prefixes = self.prefixes[:-gone]
            self.roots = []

    def has(self, line: bytes) -> bool:
        """Whether a line without its line end is a delimiter in use."""
        if self.without_end(line) in self.lines:
            return True
        if self.prefixes and line.startswith(self.prefixes):
            self.defects[AMBIGUOUS] = None
        return False

    @staticmethod
    def without_end(line: bytes) -> bytes:
        """Return a line without the CR of its line end and without blanks at its end."""
        return line.removesuffix(b"\r").rstrip(b" \t")

    def following(self, position: int) -> "Found | None":
        """Return start and end of the next delimiter line, whose it is, and whether it closes."""
        if not self.prefixes:
            return None
        size = self.spool.size
        before = max(0, position - 1)  # the line end before a delimiter may be that of the empty line
        while True:
            if self.false_alarms >= FALSE_ALARMS:
                before = self.pass_lines(before)
            before = self.spool.find(b"\n--", before, size)
            if before < 0:
                return None
            found = self.at(before + 1)
            if found:
                return found
            self.false_alarms += 1
            before += 1

    def at(self, start: int) -> "Found | None":
        """Return what `following` does, where a delimiter line starts here."""
        line = self.spool.read(start, start + self.reach)
        newline = line.find(b"\n")
        end = newline + 1 if newline >= 0 else len(line)
        text = line[:newline] if newline >= 0 else line
        if not self.has(text):
            return None
        if newline < 0 and start + end < self.spool.size:
            self.defects[AMBIGUOUS] = None  # its end is out of sight
        elif newline >= 0 and text.endswith(b"\r") != self.has_cr:
            self.defects["delimiter with a different line end from the message"] = None
        return start, start + end, *self.lines[self.without_end(text)]

    def pass_lines(self, before: int) -> int:
        """Return where to look on: the line end before the next line that `at` has to see, or the end.

        For content with very many lines that start with hyphens: what is done for each is one slice, or one strip, and
        one look into a set, whatever the number of multiparts. Lines that begin as delimiters do cost more, until a
        pattern is worth making.
        """
        size = self.spool.size
        step = LINES_FIRST
        enough = before + max(LINES_AT_ONCE, PASSED_PER_OCTET * sum(map(len, self.prefixes)))
        while before < size:
            if before > enough and AMBIGUOUS not in self.defects:
                expression = one_of(self.roots_in_use())
                if expression:
                    return self.search(before, expression)
                enough = size
            chunk = self.spool.read(before, before + step)
            at_end = before + len(chunk) >= size
            cut = len(chunk) if at_end else chunk.rfind(b"\n")
            if cut <= 0:  # within one long line
                if chunk.startswith(b"\n") and self.interesting([self.first_line(before + 1)]):
                    return before
                following = self.spool.find(b"\n", before + 1, size)
                if following < 0:
                    return size
                before = following
                step = min(2 * step, LINES_AT_ONCE)
                continue
            rest, *lines = chunk[:cut].split(b"\n")
            found = self.interesting(lines)
            if found:
                for line in lines:
                    if line == found[0]:
                        return before + len(rest)
                    rest += b"\n" + line
            before += cut
            step = min(2 * step, LINES_AT_ONCE)
        return size

    def interesting(self, lines: list[bytes]) -> list[bytes]:
        """Return those that are delimiters, or the first that make the message ambiguous."""
        if len(lines) > SAMPLE and len(set(lines[:SAMPLE])) < SAMPLE // 4:
            lines = list(dict.fromkeys(lines))  # the same line again and again is looked at once
        if AMBIGUOUS in self.defects:
            exact = self.lines
            return [line for line in lines if line.rstrip(b" \t\r") in exact and self.without_end(line) in exact]
        from bisect import bisect

        roots, least, heads = self.roots_in_use(), self.least, self.heads
        near = [line for line in lines if line[:least] in heads]
        return [line for line in near if line.startswith(roots[bisect(roots, line) - 1])]

    def roots_in_use(self) -> list[bytes]:
        """Return the delimiters in use that start with no other one, in order.

        What starts with one of them stands right behind it in order.
        """
        if not self.roots:
            for delimiter in sorted(self.prefixes):
                if not (self.roots and delimiter.startswith(self.roots[-1])):
                    self.roots.append(delimiter)
            self.least = min(map(len, self.roots))
            self.heads = {root[: self.least] for root in self.roots}
        return self.roots

    def search(self, before: int, expression: bytes) -> int:
        """Return what `pass_lines` does, by a regular expression for all delimiters in use."""
        import re

        pattern = re.compile(b"\n" + expression)
        re.purge()  # nothing of a message stays behind
        while before < self.spool.size:
            found = pattern.search(self.spool.read(before, before + LINES_AT_ONCE + self.limit + 2))
            if found:
                return before + found.start()
            before += LINES_AT_ONCE
        return self.spool.size

    def starts(self, start: int) -> bool:
        """Whether the line that starts here is a delimiter in use."""
        return bool(self.lines) and self.has(self.first_line(start))

    def first_line(self, start: int) -> bytes:
        """Return the line that starts here, as far as one can be a delimiter."""
        return self.spool.read(start, start + self.reach).partition(b"\n")[0]

    def check_bare_cr(self) -> None:
        """Find what is a delimiter line to those who take a bare CR for a line end."""
        if not self.all_prefixes or self.spool.wire:  # there is none in wire form
            return
        # With very many there is no telling them apart in good time.
        prefixes = tuple(self.all_prefixes) if len(self.all_prefixes) <= PREFIXES_LIMIT else (b"--",)
        longest = max(map(len, prefixes))
        size = self.spool.size
        position = self.spool.find(b"\r--", 0, size)
        seen = 0
        while position >= 0:
            seen += 1
            found = self.spool.read(position + 1, position + 1 + longest).startswith(prefixes)
            if not found and seen > FALSE_ALARMS and len(prefixes) <= PREFIXES_FEW:
                if not any(self.spool.find(b"\r" + prefix, position, size) >= 0 for prefix in prefixes):
                    return
                found = True
            if found or seen > BARE_CR_LIMIT:  # there is no telling in good time
                self.defects["bare CR before a delimiter"] = None
                return
            position = self.spool.find(b"\r--", position + 1, size)
