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
    lines: list[history.Line] = []
    ends = [0]  # of each line that is not blank, behind its line end
    position = 0
    blank = True
    for piece in text.split("\n"):
        position += len(piece) + 1
        stripped = piece.strip(BLANKS)
        if stripped:
            if len(lines) >= history.LINES:
                return None
            line = history.Line(text=stripped, kind=history.OWN, glued=not blank)
            # Of quoted lines in a row the first counts, and the last.
            if stripped[0] == ">" and len(lines) > 1 and lines[-1].text[0] == lines[-2].text[0] == ">":
                lines[-1], ends[-1] = line, min(position, len(text))
            else:
                lines.append(line)
                ends.append(min(position, len(text)))
        blank = not stripped
    found = history.words_end(lines)
    return Below(place=ends[found.before], history=found.history) if found else None
