"""Where the sender's own words end in a plain text. Pure."""

from pfilter.base.frozen import Frozen
from pfilter.rewriting import history

BLANKS = " \t\r\n\f\v\xa0\u200b\ufeff"


class Below(Frozen):
    """A place in a text, in characters from its start, at the start of a line or at its end."""

    place: int
    history: bool  # whether it stands above something quoted


def below_words(text: str) -> Below | None:
    """Return the place directly below the sender's words; None where nothing else is known to follow them."""
    lines = []
    ends = [0]  # of each line that is not blank, behind its line end
    position = 0
    blank = True
    for piece in text.split("\n"):
        position += len(piece) + 1
        stripped = piece.strip(BLANKS)
        if stripped:
            lines.append(history.Line(text=stripped, kind=history.OWN, glued=not blank))
            ends.append(min(position, len(text)))
        blank = not stripped
    found = history.words_end(lines)
    return Below(place=ends[found.before], history=found.history) if found else None
