"""The replies to one message: one for each recipient, in his place (RFC 2033, 4.2). No I/O."""

from pfilter.base.errors import ConfigError, RecipientsError, RefusedError, dsn
from pfilter.base.text import printable, sentence, without_tokens
from pfilter.decision.plan import Outcome
from pfilter.lmtp.protocol import replies
from pfilter.message.model import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_LIMIT = 400  # octets of a reply; RFC 5321, 4.5.3.1.5 allows 512
ADDRESS = "5.1."  # RFC 3463: permanent, about the address


class Answers:
    """The replies so far: what was said once stays."""

    def __init__(self, recipients: int) -> None:
        self._lines = [b""] * recipients

    def give(self, places: "Sequence[int]", line: bytes) -> None:
        """Answer these recipients, but for those who have an answer."""
        for place in places:
            self._lines[place] = self._lines[place] or line

    def fill(self, line: bytes) -> None:
        """Answer all who have no answer yet."""
        self.give(range(len(self._lines)), line)

    @property
    def is_complete(self) -> bool:
        """Whether there is nobody left to answer."""
        return b"" not in self._lines

    def octets(self) -> bytes:
        """Return what is to be said."""
        return replies(self._lines)


def all_well(recipients: int, places: "Sequence[Sequence[int]]", lines: "Sequence[bytes]") -> bytes:
    """Return what is to be said where each share is taken, for all of its recipients."""
    said = Answers(recipients)
    for whose, line in zip(places, lines, strict=True):
        said.give(whose, line)
    return said.octets()


def reply(text: str) -> bytes:
    """Return a line without controls, of bounded length."""
    return printable(text).encode("utf-8", "replace")[:LINE_LIMIT]


def reason(error: BaseException) -> str:
    """Return what went wrong in one sentence, and nothing in it that opens a download."""
    return without_tokens(sentence(error))


def is_refusal(error: BaseException) -> bool:
    """Whether Postfix is to bounce the message."""
    return isinstance(error, (RefusedError, RecipientsError))


def accepted(outcome: Outcome) -> bytes:
    """Return the reply to a recipient who gets it, or whose message is in quarantine."""
    return reply(f"250 2.0.0 {outcome.line()}")


def failed(error: BaseException, *, final: bool = True) -> bytes:
    """Return the reply to a recipient who does not get it: again, or, where it is `final`, never where that is wanted.

    It is not where others have to come again: a relay that is broken refuses anything.
    """
    if is_refusal(error) and final:
        return reply(f"550 {dsn(error)} pfilter: {reason(error)}")
    status = "4.3.5" if isinstance(error, ConfigError) else f"4{dsn(error)[1:]}"
    return reply(f"451 {status} pfilter: {reason(error)}")


def refused(ones: "Sequence[Refused]", places: "Sequence[int]") -> "list[tuple[int, bytes]]":
    """Return the places of recipients whom the server refused while others got it, and what they are told."""
    return [(places[one.index], _refused(one)) for one in ones]


def _refused(one: Refused) -> bytes:
    said = f"pfilter: SMTP server refused the recipient: {one.said}"
    if one.status.startswith(ADDRESS):
        return reply(f"550 {one.status} {said}")
    return reply(f"451 4{one.status[1:]} {said}")
