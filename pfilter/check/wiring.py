"""What Postfix must be configured to, so that nothing is bounced or stuck on its way through the filter; for `check`.

Each function returns what is wrong and the command that mends it, one sentence each. Where Postfix can't be asked it
says nothing.
"""

import itertools
import os

from pfilter.base.errors import ConfigError
from pfilter.base.finding import Finding
from pfilter.config.settings import Settings
from pfilter.delivery import postconf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}  # postconf(5), of times
DEFAULT_TIME_LIMIT = 1000  # seconds: command_time_limit
LIFETIME = 300  # seconds: what pfilter-lmtp works before it looks for an end; lmtp.process.LIFETIME
LMTP = "pfilter-in"  # the service of layout lmtp that runs the filter
EXEMPT = "pfilter-exempt"  # its service that hands mail back past the filter, and the map that says whose
RESTRICTIONS = "smtpd_end_of_data_restrictions"  # the list that postfix/install puts the map into
SHOWN = 5  # users that a sentence names
AFTERWARDS = 30  # seconds, generously, for log and notification
GROWTH = 2048  # octets that a message to one recipient grows by (measured: 1100 in front of a milter)
MARGIN = 1 << 16  # what postfix/install leaves for that: milters and many recipients, too; an eighth of low limits


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is wrong."""
    for wrong in [*time_limit(settings), *recipient_limit(settings)]:
        yield Finding("error", wrong)
    for wrong in [*size_limit(settings), *exempt_users(settings)]:
        yield Finding("warning", wrong)


def time_limit(settings: Settings) -> list[str]:
    """Compare the longest that one message may take with the time at whose end Postfix kills the filter."""
    lmtp = uses_lmtp(settings)
    name = f"{LMTP}_time_limit" if lmtp else "pfilter_time_limit"
    limit = seconds(postconf.value(settings, name))
    if limit < 0:  # the default names another parameter
        limit = seconds(postconf.value(settings, "command_time_limit"))
    if limit < 0:
        limit = DEFAULT_TIME_LIMIT
    stalled = settings.store_timeout if settings.store_url else 0  # one request may outlast the deadline
    handing_over = settings.reinject_timeout + settings.reinject_data_done_timeout
    message = settings.deadline + stalled + handing_over + AFTERWARDS
    needed = message + (LIFETIME if lmtp else 0)
    also = "[store] timeout + " if stalled else ""
    what = f"[policy] deadline + {also}[reinject] timeout + data_done_timeout"
    found = []
    if needed > limit:
        found.append(
            f"{what} = {needed} s{f', with {LIFETIME} s for those before it' if lmtp else ''}, over Postfix's "
            f"{name} of {limit} s, at whose end it {'sends twice' if lmtp else 'bounces, or sends twice'}: "
            f"postconf -e {name}={needed}s && postfix reload"
        )
    if lmtp:
        option = "pfilter/unix/lmtp_data_done_timeout"
        waits = seconds(postconf.value_of_service(settings, option))
        if 0 <= waits < message:
            found.append(
                f"{what} = {message} s, over the {waits} s that Postfix waits for the answer (lmtp_data_done_timeout), "
                f"after which it sends twice: postconf -P {option}={message}s && postfix reload"
            )
    return found


def exempt_users(settings: Settings) -> list[str]:
    """Compare who is exempt by login with whose mail smtpd sends past the filter, where nobody tells the filter."""
    if not uses_lmtp(settings):
        return []
    options = _options(settings)
    folder = postconf.value(settings, "config_directory")
    wanted = {user.lower() for user in settings.exempt_sasl_users}
    found = []
    for service in _attached(options):
        asked = options.get(f"{service}/{RESTRICTIONS}", "").replace(",", " ").split()
        maps = [value for name, value in itertools.pairwise(asked) if name == "check_sasl_access"]
        ours = [one for one in maps if one == f"texthash:{os.path.join(folder, EXEMPT)}"]
        passing = _users(ours[0].partition(":")[2]) if ours else set()
        if passing is None:
            continue
        if missing := wanted - passing:
            found.append(
                f"{service} does not know that mail of {_named(missing)} is exempt ([policy] exempt_sasl_users), and "
                "LMTP does not tell who has logged in: it is filtered; run postfix/install again"
            )
        if more := passing - wanted:
            found.append(
                f"{service} sends mail of {_named(more)} past the filter, but [policy] exempt_sasl_users does not "
                "have them any more: run postfix/install again"
            )
        if passing and settings.clamav_socket:
            found.append(
                f"{service} sends mail of {_named(passing)} past the filter, so that clamd does not see it "
                "(pfilter-gateway(7), Exempt users in layout lmtp)"
            )
    return found


def sasl_access(settings: Settings) -> str:
    """Return the map of type texthash that check_sasl_access needs to send mail of exempt users past the filter.

    Nothing where there are none. Raises ConfigError.
    """
    users = sorted({user.lower() for user in settings.exempt_sasl_users})
    for user in users:
        if user != "".join(user.split()) or user.startswith(("#", '"')) or not user.isprintable():
            raise ConfigError(f"[policy] exempt_sasl_users: {user!r} has characters that a map of Postfix can't have")
    host, _, port = settings.reinject_smtp.rpartition(":")
    action = f"FILTER {EXEMPT}:[{host.strip('[]')}]:{port}"
    return "".join(f"{user} {action}\n" for user in users)


def _users(path: str) -> set[str] | None:
    """Return whom a map has, None where nobody can say."""
    try:
        with open(path, encoding="utf-8") as stream:
            return {line.split()[0].lower() for line in stream if line.strip() and not line.startswith("#")}
    except (OSError, UnicodeDecodeError):
        return None


def _named(users: set[str]) -> str:
    """Name some of many."""
    some = sorted(users)[:SHOWN]
    return ", ".join(some) + (f" and {len(users) - SHOWN} more" if len(users) > SHOWN else "")


def uses_lmtp(settings: Settings) -> bool:
    """Whether Postfix hands mail to the filter by LMTP."""
    found = postconf.lines(settings, "-M", f"{LMTP}/unix")
    return any(line.split()[:2] == [LMTP, "unix"] for line in found)


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
    options = _options(settings)
    found = []
    for service in _attached(options):
        takes = options.get(f"{service}/message_size_limit", str(whole))
        if takes.isdecimal() and not 0 < int(takes) <= whole - GROWTH:
            found.append(
                f"{service} takes messages of up to {takes} octets (message_size_limit; 0: any), but they grow, and "
                f"have to fit into main.cf's {whole} on their way back, or they wait: run postfix/install again, or "
                f"postconf -P {service}/message_size_limit={max(1, whole - min(MARGIN, whole // 8))} && postfix reload"
            )
    return found


def _options(settings: Settings) -> dict[str, str]:
    """Return what master.cf sets, by SERVICE/TYPE/NAME."""
    options = {}
    for line in postconf.lines(settings, "-P"):
        name, _, value = line.partition(" = ")
        options[name.strip()] = value.strip()
    return options


def _attached(options: dict[str, str]) -> list[str]:
    """Return the services, SERVICE/TYPE, whose clients' mail goes to the filter."""
    found = [name.rpartition("/") for name, value in options.items() if value.startswith("pfilter:")]
    return [service for service, _, name in found if name == "content_filter" and not service.startswith("pickup/")]


def _number(settings: Settings, *asked: str) -> int:
    """Return a whole number of Postfix's configuration, 0 where nobody says."""
    lines = postconf.lines(settings, "-h", *asked)
    return int(lines[-1]) if lines and lines[-1].strip().isdecimal() else 0


def seconds(value: str) -> int:
    """Read a time as postconf(5) has it, -1 where it is none."""
    number = value.rstrip("smhdw")
    unit = value[len(number) :] or "s"
    return int(number) * UNITS[unit] if number.isdecimal() and unit in UNITS else -1
