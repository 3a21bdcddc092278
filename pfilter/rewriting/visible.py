"""What of HTML its reader sees, token by token, and where it ends for him, or that neither is certain. Pure.

Not a parser: it follows the HTML standard's tokenizer (13.2.5), and of the elements only those that matter: the ones
that hide or quote what is in them, and what is open inside of those. An end tag closes one of them here only where it
does so for every HTML5 parser (13.2.6), so that a doubt leaves it open, and an open one is no place for a notice.
"""

import re

# What is in these is not shown, or not by all readers; a quotation is shown, but as what somebody else wrote, and
# folded away by many.
HIDING = frozenset(
    b"template noscript select svg math object applet canvas audio video datalist rp progress meter noframes "
    b"blockquote".split()
)
FOLDED = (b"details", b"dialog")  # shown with the attribute `open` alone
RAW = frozenset(b"script style title textarea xmp iframe noembed noframes".split())  # text, whatever is in them
VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr image img input keygen link meta param source track wbr".split()
)
FOREIGN = (b"svg", b"math")
BREAKOUT = frozenset(  # of svg and math, which then are not open any more, and whose end tags count for nothing
    b"b big blockquote center code dd div dl dt em font h1 h2 h3 h4 h5 h6 i li listing menu nobr ol p pre ruby s small "
    b"span strong strike sub sup table tt u ul var".split()
)
UNSHOWN = (b"script", b"style", b"link", b"meta", b"base")  # may follow </body> without being seen
FORMATTING = frozenset(b"a b big code em font i nobr s small strike strong tt u".split())  # opened again by the parser
PHRASING = FORMATTING | frozenset(
    b"abbr acronym bdi bdo cite data del dfn ins kbd label mark q rb rp rt rtc ruby samp span sub sup time var".split()
)
TABLE_PARTS = frozenset(b"tbody thead tfoot tr td th caption".split())  # no elements at all outside of a table
ENDS_SELECT = (b"input", b"keygen", b"textarea", b"select")  # these start tags do
BLOCKS = frozenset(  # their end tags close all that is open in them, up to the next scope
    b"address article aside blockquote button center details dialog dir div fieldset figcaption figure footer header "
    b"hgroup listing main menu nav ol pre search section select summary ul".split()
)
SCOPES = frozenset((*b"applet marquee object template select svg math table".split(), *TABLE_PARTS))
LOOKS = 1 << 20  # at open elements, for one document: what needs more is hostile

_BLANK = rb"[\t\n\f\r\x20]"
_ATTRIBUTE = rb"""
    ([^\t\n\f\r\x20/>][^\t\n\f\r\x20/>=]*+)
    (?:%(blank)s*+=%(blank)s*+("[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\t\n\f\r\x20>"'][^\t\n\f\r\x20>]*+|(?=>)|\Z))?+
""" % {b"blank": _BLANK}  # fmt: skip
_ATTRIBUTES = re.compile(b"(?x)" + _ATTRIBUTE)
# One token a match; each alternative ends at the end of the input where its own end is missing, so that no input makes
# the search go back.
_TOKEN = re.compile(
    rb"""(?isx)
    <(?:
      !--(?:-?>|.*?(?:--!?>|(?P<comment>\Z)))
    | (?P<name>/?[a-z][^\t\n\f\r\x20/>]*+)(?P<attributes>(?:[\t\n\f\r\x20/]++|%s)*+)(?:>|(?P<tag>\Z))
    | [!?/][^>]*+(?:>|(?P<bogus>\Z))
    )"""
    % _ATTRIBUTE.replace(b"([^\\t", b"(?:[^\\t").replace(b'("', b'(?:"')
)
_HIDDEN_STYLE = (
    rb"(?i)display:none|visibility:(?:hidden|collapse)|mso-hide:all|opacity:|position:(?:absolute|fixed)|transform:|clip"
    rb"|(?:font-size|(?<!-)(?:max-)?(?:height|width)):\+?0*\.?0+(?![.\d])|text-indent:-|var\(|\\"
)
_CSS_COMMENT = rb"(?s)/\*.*?(?:\*/|\Z)"


class Unsure(Exception):  # noqa: N818  # a property of the HTML, not an error
    """No place is certain to be seen."""


class _Open:
    """The innermost hiding elements and what is open in them: empty where all that follows is seen."""

    def __init__(self) -> None:
        self.elements: list[tuple[bytes, bool]] = []  # name; whether it hides by itself
        self.unshown = 0  # of them those that hide, and do not just quote
        self.looks = 0

    def is_in(self, names: "tuple[bytes, ...]") -> bool:
        """Whether one of these is open."""
        self._look(len(self.elements))
        return any(name in names for name, _ in self.elements)

    def tell(self, reader: "Reader", start: int, end: int) -> bool:
        """Tell a reader what text there is, if it is shown; return whether what is inserted there is certain to be."""
        if end > start and not self.unshown:
            reader.text(start, end, not self.elements)
        return not self.elements

    def start(self, name: bytes, attributes: bytes) -> None:
        """Take a start tag, not a void one's."""
        hides = name in HIDING or _hides(name, attributes)
        if name in (b"frameset", b"plaintext"):
            raise Unsure  # either ends only with the document
        if name in (b"html", b"body", b"head"):
            if hides:
                raise Unsure  # its attributes become those of the body, wherever it stands
            return
        if not (hides or self.elements):
            return
        if name == b"button":
            raise Unsure  # ends another one that is open, with all that is in it
        foreign = self.is_in(FOREIGN)
        if foreign and name in BREAKOUT:
            raise Unsure
        if foreign or name in FOREIGN:
            rest = _ATTRIBUTES.sub(b"", attributes)
            if rest.endswith(b"/"):
                return
        self.elements.append((name, hides))
        self.unshown += _unshown(name, hides)

    def refuse_to_end_select(self, name: bytes) -> None:
        """Raise Unsure where a start tag ends an open select: what is closed behind it is another question."""
        if name in ENDS_SELECT and self.elements and self.is_in((b"select",)):
            raise Unsure

    def refuse_cdata(self, comment: bytes) -> None:
        """Raise Unsure for what is CDATA in svg and math, and a comment elsewhere."""
        if comment.startswith(b"<![") and self.elements and self.is_in(FOREIGN):
            raise Unsure

    def end(self, name: bytes) -> None:
        """Take an end tag: close what every parser closes."""
        for depth in range(len(self.elements) - 1, -1, -1):
            self._look(1)
            inner, hides = self.elements[depth]
            if inner == name:
                self.unshown -= sum(_unshown(*element) for element in self.elements[depth:])
                del self.elements[depth:]
                return
            if name == b"template":
                stays = inner in FOREIGN
            elif name == b"table":
                stays = inner in (b"select", b"template", *FOREIGN)
            elif name in TABLE_PARTS:
                stays = hides or inner not in TABLE_PARTS  # outside of a table it is no element, and closes nothing
            elif name in BLOCKS:
                stays = inner in SCOPES or (name == b"button" and inner in BLOCKS)
            else:
                stays = hides or inner not in PHRASING or name in (b"form", *FOREIGN)
            if stays or (hides and inner in FORMATTING):
                return

    def _look(self, number: int) -> None:
        self.looks += number
        if self.looks > LOOKS:
            raise Unsure


def _unshown(name: bytes, hides: bool) -> bool:
    return hides and name != b"blockquote"


class Reader:
    """Who is told what there is in HTML, in order. Offsets are octets.

    `seen` is whether a reader is certain to see, as the writer's own, what is inserted at the start of it.
    """

    def text(self, start: int, end: int, seen: bool) -> None:
        """Take what stands between two tags, and is shown."""

    def tag(self, token: "re.Match[bytes]", name: bytes, seen: bool) -> None:
        """Take a tag, or b"" for a comment and the like."""


def read(data: bytes, reader: Reader) -> int:
    """Return where the body ends, an offset: before the last `</body>` or `</html>` that nothing visible follows, else
    the end. -1 where a reader may not see, as the writer's own, what is inserted there. The octets are those of a
    charset that has ASCII's as they are. Raises Unsure.
    """  # noqa: D205
    opened = _Open()
    position, end = 0, -1  # end: of the body, if nothing visible follows
    whole = True
    while whole and (token := _TOKEN.search(data, position)):
        if end >= 0 and data[position : token.start()].strip():
            end = -1
        seen = opened.tell(reader, position, token.start())
        position = token.end()
        name = (token["name"] or b"").lower()
        whole = token["comment"] is token["tag"] is token["bogus"] is None
        if not whole:
            break
        reader.tag(token, name, seen)
        if not name:
            opened.refuse_cdata(token[0])
        elif name in (b"/body", b"/html"):
            end = token.start() if end < 0 else end
        elif name.removeprefix(b"/") not in UNSHOWN:
            end = -1
        opened.refuse_to_end_select(name)
        if name.startswith(b"/"):
            opened.end(name[1:])
        elif name in RAW:
            position = _behind_raw(data, position, name, opened)
            whole = position >= 0
        elif name and name not in VOID:
            opened.start(name, token["attributes"])
    if whole:
        opened.tell(reader, position, len(data))
        end = -1 if data[position:].strip() else end
    if opened.elements or (not whole and end < 0):
        return -1
    return end if end >= 0 else len(data)


def _behind_raw(data: bytes, start: int, name: bytes, opened: _Open) -> int:
    """Return where the end tag of an element stands that is all text, -1 if nowhere. Raises Unsure."""
    found = re.compile(rb"(?i)</" + name + rb"(?=[\t\n\f\r\x20/>])").search(data, start)  # made once, where needed
    if not found:
        return -1
    text = data[start : found.start()]
    if b"<" in text and opened.elements and opened.is_in((*FOREIGN, b"select")):
        raise Unsure  # there it may be no text at all
    if name == b"script" and b"<!--" in text and b"<script" in text.lower():
        raise Unsure  # whose end tag ends the inner one
    return found.start()


def _hides(name: bytes, attributes: bytes) -> bool:
    """Whether an element is not shown for its attributes."""
    lower = attributes.lower()
    folded = name in FOLDED
    if not (folded or b"hidden" in lower or b"style" in lower or b"popover" in lower):
        return False
    found = attributes_of(lower)
    if b"hidden" in found or b"popover" in found or (folded and b"open" not in found):
        return True
    style = found.get(b"style", b"")
    if b"&" in style:
        from html import unescape

        try:
            style = unescape(style.decode("latin-1")).encode("ascii", "replace")
        except ValueError:  # a character reference of more digits than int() takes
            return True
    plain = re.sub(_CSS_COMMENT, b"", style) if b"/*" in style else style
    return bool(re.search(_HIDDEN_STYLE, b"".join(plain.split())))


def attributes_of(attributes: bytes) -> "dict[bytes, bytes]":
    """Return the attributes of a tag by name, in lower case, character references as they are written."""
    lower = attributes.lower()
    return {key: value.strip(b"\"'") for key, value in reversed(_ATTRIBUTES.findall(lower))}  # the first counts
