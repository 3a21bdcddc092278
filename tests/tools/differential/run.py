"""Going through messages and their mutations, counting what parsers disagree about."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lib import support
from tests.tools.differential import compare, exceptions, mutate
from tests.tools.differential.compare import Disagreement, Peer

ATTACHED = {
    "made: base64": support.message(
        support.multipart("mixed", support.part(b"Hello\n"), support.attachment(b"data of a file\n" * 9, "a.bin"))
    ),
    "made: nested": support.message(
        support.multipart(
            "mixed",
            support.multipart("alternative", support.part(b"Hi\n"), support.part(b"<p>Hi", "text/html"), boundary="i"),
            support.part(b"a;b\n1;=C3=A9=\nx \n", "text/csv", encoding="quoted-printable", disposition="attachment"),
            support.part(b"plain\n", 'text/plain; name="n.txt"', disposition="attachment"),
            boundary="=_outer?/'1",
        )
    ),
}


class Found(NamedTuple):
    """One disagreement, and the message that it is about."""

    about: Disagreement
    name: str  # of the message
    data: bytes
    reason: str  # why it is right all the same; "" where nobody has said yet


class Totals(NamedTuple):
    """What a run came to."""

    messages: Counter[str]
    found: list[Found]


def messages(folders: "Iterable[Path]", *, mutations: bool) -> "Iterator[tuple[str, bytes]]":
    """Yield name and octets of all messages, each in front of its mutations."""
    made = dict(ATTACHED)
    made |= {f"{name} (CRLF)": support.crlf(data) for name, data in ATTACHED.items()}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (".md", ".tsv"):
                made[str(path.relative_to(folder))] = path.read_bytes()
    for name, data in made.items():
        yield name, data
        if mutations:
            for change, changed in mutate.mutated(data):
                yield f"{name}: {change}", changed


def run(
    mails: "Iterable[tuple[str, bytes]]", peers: "list[Peer]", told: "Callable[[int], None]" = lambda _: None
) -> Totals:
    """Compare all messages."""
    counted: Counter[str] = Counter()
    found = []
    for number, (name, data) in enumerate(mails):
        told(number)
        counted["messages"] += 1
        seen = compare.ours(data)
        if seen.message.defects:
            counted["ambiguous to pfilter"] += 1
            continue
        if not seen.editable:
            counted["without a file that may be edited"] += 1
            continue
        counted["compared"] += 1
        for peer in peers:
            theirs = peer.ask(data)
            if theirs is None:
                counted[f"{peer.name} fails"] += 1
                continue
            for one in compare.disagreements(seen, peer, theirs):
                found.append(Found(one, name, data, exceptions.reason(one, seen, data)))
    return Totals(counted, found)
