"""What a check has found, for people to read: of `pfilter check` as of `pfilter check-web`."""

from pfilter.base.frozen import Frozen


class Finding(Frozen):
    """One thing looked at: `level` is "ok", "warning" or "error"; `mend` has lines that would mend it, if there are."""

    level: str
    text: str
    mend: tuple[str, ...] = ()
