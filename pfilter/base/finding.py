"""What a check has found, for people and programs to read: of `pfilter check` as of `pfilter check-web`."""

from pfilter.base.frozen import Frozen


class Finding(Frozen):
    """One thing looked at: `level` is "ok", "warning" or "error", `text` says what is so.

    Where that is not good, `why` says what comes of it, and `mend` has the commands or lines that would mend it.
    """

    level: str
    text: str
    mend: tuple[str, ...] = ()
    why: str = ""
