"""Promised dates: days, in the time zone of those who read them.

Only where something is linked: it costs datetime, and zoneinfo where a zone is named.
"""

from datetime import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import tzinfo

DAY = 86400


def promised(now: int, keep: int, zone: str, most: int = 0) -> int:
    """Return the end of the day on which `keep` seconds are over; that very second where they are less than a day.

    Never sooner. That second, too, where the day ends more than `most` seconds from now (0: it never does). `zone` is a
    name of the tz database, or "" for this machine's. Raises ValueError for one unknown here.
    """
    until = end(now + keep, zone) if by_day(keep) else now + keep
    return now + keep if most and until > now + most else until


def end(moment: int, zone: str) -> int:
    """Return the last second of the day that a moment falls on; the moment itself where clocks leave no later one."""
    last = at(moment, zone).replace(hour=23, minute=59, second=59, microsecond=0, fold=1)
    if not zone:
        last = last.replace(tzinfo=None)  # its offset was that of the moment, before clocks may be changed
    return max(moment, int(last.timestamp()))


def is_end(moment: int, zone: str) -> bool:
    """Whether a moment is the end of a day, so that the day tells it. Raises ValueError."""
    return moment == end(moment, zone)


def by_day(keep: int) -> bool:
    """Whether what is promised for so many seconds is promised by the day."""
    return keep >= DAY


def at(moment: int, zone: str) -> datetime:
    """Return a moment as clocks in a zone show it. Raises ValueError."""
    return datetime.fromtimestamp(moment, known(zone)) if zone else datetime.fromtimestamp(moment).astimezone()


def known(name: str) -> "tzinfo":
    """Return a zone of the tz database. Raises ValueError where there is none of that name on this machine."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(f'a time zone such as "Europe/Berlin", of those known on this machine ({error})') from None
