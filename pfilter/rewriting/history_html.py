"""Where the sender's own words end in HTML: lines as they are read, with what the elements around them say. Pure.

Programs mark what they quote and how they sign by class, id and style; what they do not mark, the words tell as they do
in a text (`history`). The place is one at which an HTML5 parser shows a table as the sender's own: outside of what is
hidden, of links, conditional comments and of the structure of tables.
"""

import re

from pfilter.base.frozen import Frozen
from pfilter.rewriting import history, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

# Elements deeper in each other, or more looks at open ones, are hostile, and end the search.
DEPTH = 512  # as browsers have it
LOOKS = 1 << 20

_CONTAINER = "container"  # of a quotation, with words of the sender behind it, maybe

# What elements are by an attribute: values, or classes among several, in lower case; "*" at an end is whatever.
MARKS = (
    (_CONTAINER, b"class", b"gmail_quote gmail_quote_container"),
    (history.QUOTE, b"class", b"gmail_attr moz-cite-prefix moz-forward-container yahoo_quoted *yahoo_quoted"),
    (history.QUOTE, b"class", b"protonmail_quote tutanota_quote zmail_extra replyheader"),
    (history.QUOTE, b"class", b"-x-evo-attribution ms-outlook-mobile-reference-message mcntmcntquote clean_bq"),
    (history.QUOTE, b"id", b"yahoo_quoted_* reply-intro replybody* forwardbody* qt isreplycontent"),
    (history.QUOTE, b"name", b"quote messagereplysection"),
    (history.QUOTE, b"type", b"cite"),
    (history.HISTORY, b"id", b"divrplyfwdmsg appendonsend olk_src_body_section zwchr mail-editor-reference*"),
    (history.HISTORY, b"name", b"_____replyseparator"),
    (history.HISTORY, b"data-marker", b"__headers__ __divider__"),
    (history.HISTORY, b"class", b"outlookmessageheader"),
    (history.SIGNATURE, b"class", b"gmail_signature_prefix protonmail_signature_block* -x-evo-signature* moz-txt-sig"),
    (history.SIGNATURE, b"class", b"*signature *signature-* *signature_*"),
    (history.SIGNATURE, b"id", b"*signature* _rc_sig"),
    (history.SIGNATURE, b"name", b"_mailautosig messagesignaturesection"),
    (history.SIGNATURE, b"data-smartmail", b"gmail_signature"),
    (history.SIGNATURE, b"data-marker", b"__sig_p*"),
    (history.SIGNATURE, b"data-bloop-signature", b"*"),
)
_MARKED = (b"class", b"id", b"name", b"type", b"style", b"data-")  # one of which there is in what is marked
# The line above the header of a message in Outlook, Outlook on the web, Windows Mail.
_OUTLOOK = (rb"border-top:[^;]*solid|border-style:solidnonenone(?![^;])", rb"padding:3(?:\.0)?pt0")
_BAR = rb"(?:^|;)border-left(?:-style|-width)?:(?!none|0|mediumnone)"

BREAKS = visible.BLOCKS | frozenset(
    b"br hr p h1 h2 h3 h4 h5 h6 table tbody thead tfoot tr td th caption li dd dt form".split()
)
_CELLS = (b"td", b"th", b"caption")
_TABLE = frozenset((*_CELLS, *b"table tbody thead tfoot tr".split()))
_ENDS_P = BREAKS - _TABLE - {b"br"} | {b"table"}
_BLOCK_SCOPES = visible.BLOCKS | frozenset((b"table", *_CELLS))
_HEAD = frozenset(b"html head body title style meta link base script".split())
_CLICKED = (b"a", b"button", b"label")  # nothing of ours goes into these
_ROWS = frozenset(b"table tbody thead tfoot tr colgroup".split())  # nor into these, unless it is in a cell
_SMALL = rb"(?i)(?:^|[\s;\"'])(?:width|height)\s*[=:]\s*[\"']?\s*[01](?![\d.%])"
_REFERENCES = {
    "amp": "&",
    "lt": "<",
    "gt": ">",
    "quot": '"',
    "nbsp": "\xa0",
    "#39": "'",
}  # for which html need not be had
_IMAGE = "\ufffc"
_BLANKS = " \t\r\n\xa0\u00ad\u034f\u2007\u200b\u200c\u200d\ufeff"


class Below(Frozen):
    """A place in HTML, an offset in octets, or -1 where none in it will do."""

    place: int
    history: bool  # whether it stands above something quoted


class Read(Frozen):
    """What was found in HTML."""

    end: int  # where it ends, -1 where that would not be seen
    top: int  # where it begins, likewise
    below: Below | None  # the sender's words; None where nothing else is known to follow them


def read(data: bytes, charset: str) -> Read | None:
    """Read HTML; None where nothing is certain. Octets are of a charset that has ASCII's as they are."""
    lines = _Lines(data, charset)
    try:
        end = visible.read(data, lines)
    except visible.Unsure:
        return None
    lines.finish()
    top = lines.gaps[0] if lines.gaps else end
    found = history.words_end(lines.lines) if not lines.gave_up else None
    if found is None:
        return Read(end=end, top=top, below=None)
    place = lines.gaps[found.before] if found.before < len(lines.gaps) else end
    return Read(end=end, top=top, below=Below(place=place, history=found.history))


class _Element:
    """An open element."""

    __slots__ = ("between_cells", "clicked", "kind", "name")

    def __init__(self, name: bytes, kind: str, around: "_Element | None") -> None:
        self.name = name
        self.kind = kind
        self.clicked: bool = name in _CLICKED or bool(around and around.clicked)
        self.between_cells: bool = name in _ROWS or (name not in _CELLS and bool(around and around.between_cells))


class _Lines(visible.Reader):
    """Gathers lines, and before each the best place since the words in front of it."""

    def __init__(self, data: bytes, charset: str) -> None:
        self.lines: list[history.Line] = []
        self.gaps: list[int] = []
        self.gave_up = False
        self._data = data
        self._charset = charset
        self._stack: list[_Element] = []
        self._open: dict[bytes, int] = {}  # how many elements of a name are open
        self._kinds = {history.QUOTE: 0, history.SIGNATURE: 0, _CONTAINER: 0}  # and of a kind
        self._quotations = 0  # of those the ones that are blockquotes
        self._after = False  # behind the mark of a history that has no end
        self._done = False
        self._condition = False  # within a conditional comment that shows what is in it
        self._link = False  # opened and not ended, which the parser opens again if it has to close it
        self._looks = 0
        self._words = ""
        self._kind = ""
        self._line_gap = -1
        self._breaks = 0  # line breaks since the last words
        self._glued = False
        self._gap, self._gap_depth, self._gap_fixed = -1, DEPTH + 1, False

    # --- what visible.read tells

    def text(self, start: int, end: int, seen: bool) -> None:
        """Take text."""
        octets = self._data[start:end]
        if self._done or not octets.strip():
            return
        text = octets.decode(self._charset, "replace")
        if "&" in text:
            text = _unescaped(text)
        text = " ".join(text.split())
        if text.strip(_BLANKS):
            self._offer(start, seen)
            self._add(text)

    def tag(self, token: "re.Match[bytes]", name: bytes, seen: bool) -> None:
        """Take a tag."""
        if self._done:
            return
        if not name:
            if token[0].startswith(b"<!--"):
                self._offer(token.start(), seen)
            elif not self.lines and not self._words:
                self._forget()  # of the document's type
            if token[0].startswith((b"<!--[if", b"<![if")):
                self._condition = b"<![endif]" not in token[0]
            elif b"<![endif]" in token[0]:
                self._condition = False
        elif name.removeprefix(b"/") in _HEAD:
            # In front of the words nothing goes above these; and the parser takes no others for what they are.
            if not self.lines and not self._words:
                self._forget()
        else:
            self._offer(token.start(), seen)
            if name.removeprefix(b"/") in BREAKS:
                self._break()
                self._breaks += name[:1] != b"/"
            self._link = name == b"a" or (self._link and name != b"/a")
            if name.startswith(b"/"):
                self._end(name[1:])
            else:
                self._start(name, token["attributes"], seen)

    def finish(self) -> None:
        """Take the end."""
        self._break()

    # --- lines

    def _add(self, words: str) -> None:
        if not self._words:
            self._kind = self._kind_here()
            self._line_gap = self._gap
            self._glued = self._breaks <= 1
        self._words = f"{self._words} {words}"[: 2 * history.LONGEST] if self._words else words[: 2 * history.LONGEST]
        self._forget()
        self._breaks = 0

    def _break(self) -> None:
        if not self._words or self._done:
            return
        words, self._words = self._words.strip(_BLANKS), ""
        if len(self.lines) >= history.LINES:
            self._give_up()
            return
        if not self._quotations and self._kind == history.QUOTE and history.says_that_a_message_follows(words):
            self._after, self._kind = True, history.HISTORY  # a forwarded one, which may quote others in its turn
        if self._kind == history.QUOTE and self.lines and self.lines[-1].kind == history.QUOTE:
            return
        self.lines.append(history.Line(text=words, kind=self._kind, glued=self._glued))
        self.gaps.append(self._line_gap)
        self._done = self._kind == history.HISTORY

    def _kind_here(self) -> str:
        if self._after:
            return history.HISTORY
        if self._kinds[history.QUOTE] or self._kinds[_CONTAINER]:
            return history.QUOTE
        return history.SIGNATURE if self._kinds[history.SIGNATURE] else history.OWN

    def _give_up(self) -> None:
        self.gave_up = self._done = True

    # --- places

    def _offer(self, offset: int, seen: bool) -> None:
        """Take a place into account: the outermost one counts, and the first of these."""
        depth = len(self._stack)
        if self._gap_fixed or depth >= self._gap_depth or not seen or self._condition:
            return
        inside = self._stack[-1] if self._stack else None
        if not (self._link or (inside and (inside.clicked or inside.between_cells))):
            self._gap, self._gap_depth = offset, depth

    def _forget(self) -> None:
        self._gap, self._gap_depth, self._gap_fixed = -1, DEPTH + 1, False

    # --- elements

    def _start(self, name: bytes, attributes: bytes, seen: bool) -> None:
        if name in _TABLE and name != b"table" and not self._open.get(b"table"):
            return  # no element at all
        kind = _mark(name, attributes)
        if kind:
            self._gap_fixed = self._gap >= 0  # nothing of ours goes into what is marked
            self._break()
            self._after = self._after or kind == history.HISTORY
        if name == b"img":
            if seen and not re.search(_SMALL, attributes):
                self._add(_IMAGE)
            return
        if name in visible.VOID:
            return
        if name in _ENDS_P and self._open.get(b"p"):
            self._close((b"p",), _BLOCK_SCOPES)
        if name in (b"td", b"th"):
            self._close((b"td", b"th"), (b"table",))
        elif name == b"tr":
            self._close((b"tr",), (b"table",))
        elif name == b"li":
            self._close((b"li",), (b"ul", b"ol", b"td", b"th", b"table"))
        self._push(name, kind)

    def _push(self, name: bytes, kind: str) -> None:
        if len(self._stack) >= DEPTH:
            self._give_up()
            return
        self._stack.append(_Element(name, kind, self._stack[-1] if self._stack else None))
        self._open[name] = self._open.get(name, 0) + 1
        if kind in self._kinds:
            self._kinds[kind] += 1
            self._quotations += kind == history.QUOTE and name == b"blockquote"

    def _close(self, names: "tuple[bytes, ...]", scopes: "Collection[bytes]") -> None:
        """Close the innermost element of a name, with all in it, unless a scope is open inside of it."""
        for depth in range(len(self._stack) - 1, -1, -1):
            self._looks += 1
            name = self._stack[depth].name
            if name in names:
                self._cut(depth)
                return
            if name in scopes:
                return
        if self._looks > LOOKS:
            self._give_up()

    def _end(self, name: bytes) -> None:
        if not self._open.get(name):
            return
        if name in _TABLE:
            self._close((name,), (b"table",) if name != b"table" else ())
        elif name in visible.PHRASING:
            self._close((name,), BREAKS)  # the parser leaves blocks open
        else:
            self._close((name,), _CELLS)

    def _cut(self, depth: int) -> None:
        for element in reversed(self._stack[depth:]):
            self._open[element.name] -= 1
            if element.kind not in self._kinds:
                continue
            self._break()
            self._kinds[element.kind] -= 1
            if element.kind == history.QUOTE and element.name == b"blockquote":
                self._quotations -= 1
                self._open_container(depth)
        del self._stack[depth:]

    def _open_container(self, depth: int) -> None:
        """Let what follows the quotation in its container be the sender's again: he answers below."""
        inside = next((element for element in reversed(self._stack[:depth]) if element.kind in self._kinds), None)
        if inside and inside.kind == _CONTAINER:
            self._kinds[_CONTAINER] -= 1
            inside.kind = ""


def _unescaped(text: str) -> str:
    first, *rest = text.split("&")
    plain = first
    for piece in rest:
        name, semicolon, behind = piece.partition(";")
        if not semicolon or name not in _REFERENCES:
            break
        plain += _REFERENCES[name] + behind
    else:
        return plain
    from html import unescape

    try:
        return unescape(text)
    except ValueError:  # a character reference of more digits than int() takes
        return text


def _mark(name: bytes, attributes: bytes) -> str:
    """Return what an element is by its attributes, "" where they do not say."""
    lower = attributes.lower()
    if not any(word in lower for word in _MARKED):
        return ""
    found = visible.attributes_of(lower)
    for kind, attribute, patterns in MARKS:
        value = found.get(attribute)
        if value is None or (attribute == b"type" and name != b"blockquote"):
            continue
        if any(_is_like(word, patterns) for word in (value.split() if attribute == b"class" else (value.strip(),))):
            return history.QUOTE if name == b"blockquote" else kind
    style = b"".join(found.get(b"style", b"").split())
    if name == b"blockquote" and re.search(_BAR, style):
        return history.QUOTE
    if name == b"div" and b"border-" in style and all(re.search(pattern, style) for pattern in _OUTLOOK):
        return history.HISTORY
    return ""


def _is_like(word: bytes, patterns: bytes) -> bool:
    """Whether a word is one of those that stand in a list."""
    for pattern in patterns.split():
        inside = pattern.strip(b"*")
        if word == pattern or (inside != pattern and inside in word and _is_at_its_end(word, inside, pattern)):
            return True
    return False


def _is_at_its_end(word: bytes, inside: bytes, pattern: bytes) -> bool:
    return (pattern.startswith(b"*") or word.startswith(inside)) and (pattern.endswith(b"*") or word.endswith(inside))
