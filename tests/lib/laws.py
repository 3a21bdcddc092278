"""The laws that hold for every message, as functions that assert; tests apply them to corpus and generated mail."""

import contextlib
import io
import quopri
import re
import tempfile
import zipfile
from email.message import Message as StdlibMessage

from pfilter import pipeline
from pfilter.config.settings import Settings
from pfilter.message import roles
from pfilter.message.model import Message, Part
from pfilter.rewriting import splice
from tests.lib import support
from tests.lib.support import ENVELOPE, BytesSpool, Processed, content, process, scanned


def nothing_to_do_changes_nothing(data: bytes, policy: Settings) -> None:
    """Law 1: no edits, no change, neither through `splice.apply` nor through the whole pipeline."""
    assert content(splice.apply(BytesSpool(data), [], tempfile.gettempdir)) == data
    result = process(data, policy)
    assert result.output == data
    assert result.outcome.line().startswith("passed")


def windows_do_not_matter(data: bytes, windows: "list[int]") -> None:
    """Law 3: whatever the size of the windows in which a message is read, it has the same parts."""
    expected = scanned(data)
    for window in windows:
        assert scanned(data, window) == expected, f"window of {window}"


def ranges_nest(data: bytes) -> Message:
    """Law 5: parts lie inside their parents, in order, without overlap; headers before bodies inside spans."""
    message = scanned(data)
    root = message.root
    separator = data.find(b"\n") + 1 if data.startswith(b"From ") else 0  # that of an mbox belongs to no part
    assert (root.span.start, root.span.end) == (separator, len(data))
    for part in message.parts:
        assert part.span.start <= part.header.start <= part.header.end <= part.body.start
        assert part.body.start <= part.body.end <= part.span.end <= len(data)
        position = part.body.start
        for number in part.children:
            child = message.parts[number]
            assert child.parent == part.number
            assert position <= child.span.start <= child.span.end <= part.span.end
            position = child.span.end
        for field in part.fields:
            assert part.header.start <= field.range.start < field.range.end <= part.header.end
    assert [part.number for part in message.parts] == list(range(len(message.parts)))
    return message


def own_leaves(message: Message) -> "list[Part]":
    """Return pfilter's leaves; a message/rfc822 is one whole."""
    return [part for part in message.parts if not part.embedded and not part.is_multipart]


def why_leaves_disagree(data: bytes, *, types_too: bool = True) -> str:
    """Law 4: return why the stdlib sees other leaves, "" where it sees the same or no claim is made."""
    message = scanned(data)
    tree = support.parsed(data)
    if message.defects or support.defects(tree):
        return ""
    ours, theirs = own_leaves(message), support.leaves(tree)
    types = [part.type.decode("ascii", "replace") for part in ours]
    if len(ours) != len(theirs) or (types_too and types != [leaf.get_content_type() for leaf in theirs]):
        return f"types {types} against {[leaf.get_content_type() for leaf in theirs]}"
    for part, leaf in zip(ours, theirs, strict=True):
        if leaf.is_multipart():
            continue  # an opened message/*: a whole to us
        if data[part.body.start : part.body.end] != support.raw_body(leaf):
            return f"body of {part.section or 'the root'}"
    return ""


def all_but_the_ranges_is_copied(data: bytes, result: Processed) -> None:
    """Law 2: what lies between the edits stands in the result, in order, and nothing else but the edits does."""
    position = at = 0
    for start, end, new in result.edited:
        kept = data[position:start]
        assert result.output[at : at + len(kept)] == kept
        at += len(kept)
        assert result.output[at : at + len(new)] == new
        at += len(new)
        position = end
    assert result.output[at:] == data[position:]


def edits_lie_where_they_may(data: bytes, policy: Settings, result: Processed, sender: bytes) -> None:
    """Edits lie in parts that were decided upon, in the bodies that tell of it, or insert a part."""
    message = scanned(data)
    parts = decided(data, policy, sender)
    allowed = [message.parts[number].span for number in (*parts, *emptied(message, parts))]
    allowed += [part.span for part in roles.main_bodies(message)]
    untouched = [part.body for part in roles.main_bodies(message) if part.number not in parts and part.body.size]
    for start, end, _ in result.edited:
        told = next((b for b in untouched if b.start <= start <= end <= b.end), None)
        if told and start < end:
            coded_anew(message, told.start, start, end, result)
        assert start == end or any(span.start <= start <= end <= span.end for span in allowed), (start, end)


def coded_anew(message: Message, body: int, start: int, end: int, result: Processed) -> None:
    """Assert that octets of a body gave way to the notice only in base64, or where the body became UTF-8."""
    part = next(part for part in message.parts if part.body.start == body and not part.is_multipart)
    relabelled = any(
        part.header.start <= at <= part.header.end and b"charset=utf-8" in new for at, _, new in result.edited
    )
    if not relabelled:
        assert part.encoding == b"base64", (part.section, start, end)
        assert end - start <= 8, "four characters, and a line end among them"


def decided(data: bytes, policy: Settings, sender: bytes) -> "dict[int, str]":
    """Return what is decided about parts, by number, those that stay left out."""
    envelope = ENVELOPE.replace(sender=sender)
    found = pipeline.examine(BytesSpool(data), envelope, policy, lambda: policy.store_path)
    return {action.part: action.what for action in found.plan.actions if action.what != "keep"}


def emptied(message: Message, parts: "dict[int, str]") -> "set[int]":
    """Return the multiparts of which nothing is left."""
    gone = {number for number, what in parts.items() if what in ("link", "strip", "drop")}
    found: set[int] = set()
    for part in reversed(message.parts):
        if part.is_multipart and part.children and all(n in gone or n in found for n in part.children):
            found.add(part.number)
    return found


def readers_see_the_rest_unchanged(
    data: bytes, policy: Settings, result: Processed, sender: bytes, marker: str
) -> None:
    """Law 2 for readers: the stdlib reads the result; parts not decided upon are as they were; one notice a body."""
    message = scanned(data)
    before, after = support.parsed(data), support.parsed(result.output)
    if support.defects(before):
        return
    assert support.defects(after) == []
    parts = decided(data, policy, sender)
    bodies = {part.number: part for part in roles.main_bodies(message)}
    removes = any(what != "zip" for what in parts.values())
    found = support.leaves(after)
    gone = emptied(message, parts)
    if 0 in gone or (0 in parts and parts[0] != "zip"):
        (only,) = found
        assert only.get_content_type() == "text/plain"
        assert support.text_of(only).count(marker) == 1
        return
    told = 0
    old = support.leaves(before)
    ours = own_leaves(message)
    assert len(old) == len(ours)
    remaining = [
        (part, leaf)
        for part, leaf in zip(ours, old, strict=True)
        if parts.get(part.number) not in ("link", "strip", "drop")
    ]
    added = len(found) - len(remaining)
    if added == 1:
        extra = next(at for at, leaf in enumerate(found) if is_new_notice(leaf, marker))
        del found[extra]
        told += 1
    assert len(found) == len(remaining)
    for (part, leaf), now in zip(remaining, found, strict=True):
        if parts.get(part.number) == "zip":
            is_zip_of(now, octets_of(data, part, leaf))
        elif removes and part.number in bodies and support.described(now) != support.described(leaf):
            has_notice_inserted(part, leaf, now, marker)
            told += 1
        else:
            assert support.described(now) == support.described(leaf), part.section
    if removes:
        told_everywhere = told == len(bodies)
        assert told_everywhere or added == 1, "neither told in each body, nor by a part of its own"
    else:
        assert (told, added) == (0, 0)


def is_new_notice(leaf: StdlibMessage, marker: str) -> bool:
    """Whether a leaf is a text of its own that is the notice alone."""
    if leaf.get_content_type() != "text/plain" or leaf.get_content_disposition() != "inline":
        return False
    text = support.text_of(leaf)
    return text.count(marker) == 1 and bool(re.match(r"\d+ files? to download|The following attachment", text))


def is_zip_of(now: StdlibMessage, octets: bytes) -> None:
    """Assert that a leaf is a zip that holds one file of this content."""
    assert now.get_content_type() == "application/zip"
    data = now.get_payload(decode=True)
    assert isinstance(data, bytes)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = archive.namelist()
        assert now.get_filename() in (f"{name}.zip", None) or not name.isascii()
        assert archive.testzip() is None
        assert archive.read(name) == octets


def octets_of(data: bytes, part: Part, leaf: StdlibMessage) -> bytes:
    """Return the file that a leaf is; of opened messages the stdlib keeps no octets."""
    if leaf.is_multipart():
        return data[part.body.start : part.body.end]
    return support.decoded_body(leaf)


def has_notice_inserted(part: Part, was: StdlibMessage, now: StdlibMessage, marker: str) -> None:
    """Assert that a body is its old text with one piece inserted, and that piece holds the notice once."""
    assert now.get_content_type() == was.get_content_type()
    old, new = _text(was).rstrip("\n"), _text(now)
    assert new.count(marker) == old.count(marker) + 1
    start = common(old, new)
    end = common(old[::-1], new.rstrip("\n")[::-1])
    assert start + end >= len(old), (part.section, old[start:], new[start:][:200])


def common(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their start."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _text(leaf: StdlibMessage) -> str:
    with contextlib.suppress(LookupError):
        octets = support.decoded_body(leaf)
        if leaf.get("content-transfer-encoding", "").strip().lower() == "quoted-printable":
            # Blanks at the end of a line are no content there (RFC 2045, 6.7, rule 3), which the stdlib does not know.
            raw = support.raw_body(leaf)
            octets = quopri.decodestring(re.sub(rb"[ \t]+(?=\r?\n|\Z)", b"", raw))
        return octets.decode(leaf.get_content_charset("us-ascii")).replace("\r\n", "\n")
    raise AssertionError("a body in an unknown charset was edited")


def editing_keeps_the_rest(data: bytes, policy: Settings, sender: bytes, marker: str) -> Processed:
    """Law 2, whole: in octets, in places, and as a reader sees it; an ambiguous message passes as it came (law 6)."""
    result = process(data, policy, ENVELOPE.replace(sender=sender))
    if scanned(data).defects:
        assert result.output == data
        assert result.edited == []
        return result
    all_but_the_ranges_is_copied(data, result)
    edits_lie_where_they_may(data, policy, result, sender)
    readers_see_the_rest_unchanged(data, policy, result, sender, marker)
    return result
