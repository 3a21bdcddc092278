"""What Postfix must be configured to, so that nothing is bounced or stuck on its way through the filter; for `check`.

Each function returns what is wrong and the command that mends it, one sentence each. Where Postfix can't be asked it
says nothing.
"""

from pfilter.config.settings import Settings
from pfilter.delivery import postconf

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # postconf(5), of times
DEFAULT_TIME_LIMIT = 1000  # seconds: command_time_limit
AFTERWARDS = 30  # seconds, generously, for log and notification
GROWTH = 2048  # octets that a message to one recipient grows by (measured: 1100 in front of a milter)
MARGIN = 1 << 16  # what postfix/install leaves for that: milters and many recipients, too; an eighth of low limits


def time_limit(settings: Settings) -> list[str]:
    """Compare the longest that one message may take with the time at whose end pipe(8) kills the filter."""
    limit = seconds(postconf.value(settings, "pfilter_time_limit"))
    if limit < 0:  # the default names another parameter
        limit = seconds(postconf.value(settings, "command_time_limit"))
    if limit < 0:
        limit = DEFAULT_TIME_LIMIT
    stalled = settings.store_timeout if settings.store_url else 0  # one request may outlast the deadline
    handing_over = settings.reinject_timeout + settings.reinject_data_done_timeout
    needed = settings.deadline + stalled + handing_over + AFTERWARDS
    if needed <= limit:
        return []
    also = "[store] timeout + " if stalled else ""
    return [
        f"[policy] deadline + {also}[reinject] timeout + data_done_timeout = {needed} s, over Postfix's "
        f"pfilter_time_limit of {limit} s, at whose end it bounces, or sends twice: "
        f"postconf -e pfilter_time_limit={needed}s && postfix reload"
    ]


def recipient_limit(settings: Settings) -> list[str]:
    """Compare how many recipients one message comes with, with how many the way back takes."""
    if settings.reinject_method != "smtp":
        return []
    option = f"{settings.reinject_smtp}/inet/smtpd_recipient_limit"
    takes = _number(settings, "-P", option) or _number(settings, "smtpd_recipient_limit")
    gives = _number(settings, "pfilter_destination_recipient_limit")
    if not takes or not gives or gives <= takes:
        return []
    return [
        f"a message comes with up to {gives} recipients (pfilter_destination_recipient_limit), but "
        f"{settings.reinject_smtp} takes {takes} (smtpd_recipient_limit), and mail to more would never leave: "
        f"postconf -P {option}=100000 && postfix reload"
    ]


def size_limit(settings: Settings) -> list[str]:
    """Compare how large a message the services in front take, with how large one may be on the way back."""
    whole = _number(settings, "message_size_limit")
    if not whole:
        return []
    options = {}
    for line in postconf.lines(settings, "-P"):
        name, _, value = line.partition(" = ")
        options[name.strip()] = value.strip()
    found = []
    for name, value in options.items():
        service, _, option = name.rpartition("/")
        if option != "content_filter" or not value.startswith("pfilter:") or service.startswith("pickup/"):
            continue
        takes = options.get(f"{service}/message_size_limit", str(whole))
        if takes.isdecimal() and not 0 < int(takes) <= whole - GROWTH:
            found.append(
                f"{service} takes messages of up to {takes} octets (message_size_limit; 0: any), but they grow, and "
                f"have to fit into main.cf's {whole} on their way back, or they wait: run postfix/install again, or "
                f"postconf -P {service}/message_size_limit={max(1, whole - min(MARGIN, whole // 8))} && postfix reload"
            )
    return found


def _number(settings: Settings, *asked: str) -> int:
    """Return a whole number of Postfix's configuration, 0 where nobody says."""
    lines = postconf.lines(settings, "-h", *asked)
    return int(lines[-1]) if lines and lines[-1].strip().isdecimal() else 0


def seconds(value: str) -> int:
    """Read a time as postconf(5) has it, -1 where it is none."""
    number = value.rstrip("smhdw")
    unit = value[len(number) :] or "s"
    return int(number) * UNITS[unit] if number.isdecimal() and unit in UNITS else -1
