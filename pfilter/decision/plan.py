"""What was found out about a message, what happens to it and why, and what became of it."""

from pfilter.base.frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    What = Literal["keep", "zip", "link", "strip", "drop"]  # "drop": a form of the body
    Event = Literal["", "compress", "part size", "bandwidth", "unknown sender"]


class AttachmentFacts(Frozen):
    """What `measure` found out about one attachment."""

    part: int  # number of the part
    name: str  # safe file name
    size: int  # decoded octets; where nothing depends on it, estimated
    wire: int  # octets that it takes in the message, delimiter and header included
    zip_size: int = -1  # octets of the finished zip; -1: is not zipped
    zip_wire: int = -1  # octets that the zip takes in the message in its place
    why_no_zip: str = ""


class Measured(Frozen):
    """What decisions need to know about a message beyond its structure."""

    attachments: tuple[AttachmentFacts, ...] = ()  # those that may be edited, in document order
    kept: tuple[tuple[int, str], ...] = ()  # other named parts, and why they are left alone
    protection: str = ""  # why nothing at all may be touched


class Action(Frozen):
    """What happens to one part, and why."""

    part: int
    what: "What"
    reason: str
    name: str = ""
    size: int = 0  # decoded octets
    zip_size: int = 0  # octets of the zip, where it becomes one
    event: "Event" = ""  # the log's name for it

    @property
    def removes(self) -> bool:
        """Whether the file is gone from the message, which a notice has to tell."""
        return self.what == "link" or self.what == "strip"


class Plan(Frozen):
    """What happens to a message. `reason` says why it passes untouched, or what was the cause of the change."""

    reason: str
    actions: tuple[Action, ...] = ()  # one for each attachment, in document order
    remarks: tuple[str, ...] = ()  # what the log should say besides

    def chosen(self, what: "What") -> "list[Action]":
        """Return the actions of one kind."""
        return [action for action in self.actions if action.what == what]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return any(action.what != "keep" for action in self.actions)


class Outcome(Frozen):
    """What became of a message: for the log, and the line that Postfix logs."""

    linked: int = 0
    zipped: int = 0
    stripped: int = 0
    size_in: int = 0
    size_out: int = 0
    note: str = ""  # why it passed: decide.in_a_word, or what kept a change from being made
    held: str = ""  # why it was not sent but is in quarantine

    def line(self) -> str:
        """Return one line such as `1 linked, 2 zipped, 18.4 MB -> 41 kB`, or `passed (signed)`."""
        if self.held:
            return f"quarantined ({self.held})"
        counts = ((self.linked, "linked"), (self.zipped, "zipped"), (self.stripped, "stripped"))
        done = ", ".join(f"{count} {word}" for count, word in counts if count)
        if not done:
            return f"passed ({self.note})" if self.note else "passed"
        from pfilter.base.text import human_size  # not for what passes

        sizes = f"{human_size(self.size_in)} -> {human_size(self.size_out)}"
        return f"{done}, {sizes}" + (f" ({self.note})" if self.note else "")
