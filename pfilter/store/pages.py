"""The pages that a download's own one gives way to: whoever cleans up brings them, since a store writes no words."""

from pfilter.base.errors import ConfigError
from pfilter.base.frozen import Frozen
from pfilter.base.text import sentence
from pfilter.store.record import Download, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Pages(Frozen):
    """How a download is spoken of after its date. Both raise ConfigError for words that can't be used."""

    late: "Callable[[Record, Download], bytes]"  # in the grace: the files, and no date
    tombstone: "Callable[[Record], bytes]"  # after the end
    keep: int  # seconds for which the last one stays; 0: there is none


def tombstone(pages: Pages | None, record: Record, problems: list[str]) -> bytes:
    """Return the page about what has ended, b"" for none; words that can't be used keep no file from going."""
    if pages is None or not pages.keep:
        return b""
    try:
        return pages.tombstone(record)
    except ConfigError as error:
        problems.append(f"no page says that a download has ended: {sentence(error)}")
        return b""
