"""What Postfix is configured to, as far as it says so: postconf(1)."""

import os

from pfilter.base.child import run
from pfilter.base.errors import ReinjectError
from pfilter.config.settings import Settings
from pfilter.message.model import Envelope

SECONDS = 10
QUEUE_FILE_OCTETS = 2048  # what a queue file holds beside the content and addresses (measured: some 1100)
_WARNING = "postconf: warning: "
RECORD_OCTETS = 64  # and beside the octets of each address


def size_limit(settings: Settings, envelope: Envelope) -> int:
    """Return how many octets of content go back with this envelope, 0 where there is no limit or nobody knows."""
    if settings.reinject_max_size:
        return settings.reinject_max_size
    said = value(settings, "message_size_limit")
    # Postfix's limit is for the queue file, envelope included: each address stands there up to three times.
    addresses = sum(3 * len(address) + RECORD_OCTETS for address in (envelope.sender, *envelope.recipients))
    return max(1, int(said) - QUEUE_FILE_OCTETS - addresses) if said.isdecimal() and int(said) else 0


def value(settings: Settings, parameter: str) -> str:
    """Return what a parameter is set to, "" where nobody says."""
    found = lines(settings, "-h", parameter)
    return found[-1].strip() if found else ""


def value_of_service(settings: Settings, option: str) -> str:
    """Return what master.cf sets, of SERVICE/TYPE/NAME, "" where it does not."""
    found = lines(settings, "-h", "-P", option)
    return found[-1].strip() if found else ""


def lines(settings: Settings, *arguments: str) -> list[str]:
    """Return what postconf(1) answers, nothing where it can't be asked.

    Its warnings are left out: that about an unused parameter stands behind the answer.
    """
    beside = os.path.join(os.path.dirname(settings.reinject_sendmail), "postconf")
    command = beside if os.access(beside, os.X_OK) else "/usr/sbin/postconf"
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status, said = run([command, *arguments], empty, SECONDS)
    except (OSError, ReinjectError):
        return []
    finally:
        os.close(empty)
    return [line for line in said.strip().splitlines() if _WARNING not in line] if status == 0 else []
