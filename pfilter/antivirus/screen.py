"""What a verdict of clamd means for a message, before all rules."""

from pfilter.antivirus import examine
from pfilter.antivirus.clamd import Verdict
from pfilter.base.errors import RefusedError, ScannerError
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.config.settings import Settings
from pfilter.message.addresses import matches_domain
from pfilter.message.filenames import domain_of
from pfilter.message.model import Envelope, Message


class Screening(Frozen):
    """What a verdict means for a message; "" where it means nothing. At most one is given."""

    hold: str = ""  # why it goes to quarantine
    untouched: str = ""  # why it passes as it is, whatever the rules say
    refuse: str = ""  # why it is bounced
    wait: str = ""  # why it is tried again


def inspect(spool: Spool, message: Message, envelope: Envelope, settings: Settings, log: Log) -> Screening:
    """Ask clamd, and rule by policy. Raises ScannerError (try again), RefusedError (bounce), OSError."""
    verdict = examine.examine(spool, message, settings)
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender, "reason": verdict.reason}
    if verdict.status == "infected":
        log.event("warning", "virus", **about, applied=settings.mode != "observe")
    elif verdict.status != "clean":
        log.event("error" if verdict.status == "error" else "warning", "not scanned", **about)
    screening = rule(verdict, envelope, settings)
    if screening.refuse:
        raise RefusedError(screening.refuse)
    if screening.wait:
        raise ScannerError(screening.wait)
    return screening


def rule(verdict: Verdict, envelope: Envelope, settings: Settings) -> Screening:
    """Return what policy makes of what clamd said. Pure."""
    if verdict.status == "clean" or settings.mode == "observe":
        return Screening()
    if verdict.status == "infected":
        if settings.clamav_on_infected == "reject" and _may_bounce_to(envelope, settings):
            return Screening(refuse=f"the message contains a virus: {verdict.reason}")
        return Screening(hold=f"virus {verdict.reason}")
    if verdict.status == "error":
        return Screening(wait=verdict.reason if settings.clamav_on_error == "defer" else "")
    told = f"not scanned for viruses: {verdict.reason}"
    if settings.clamav_on_unscanned == "quarantine":
        return Screening(hold=told)
    return Screening(untouched=told if settings.clamav_on_unscanned == "pass-unlinked" else "")


def _may_bounce_to(envelope: Envelope, settings: Settings) -> bool:
    """Whether a bounce, which carries the virus, goes to who sent it, and to nobody else.

    That somebody has logged in is not enough: a stolen account sends with the addresses of its victims. That every
    domain is ours (`*`) says nothing about one. A bounce of the null sender's mail goes nowhere.
    """
    ours = tuple(domain for domain in settings.own_domains if domain != "*")
    return bool(envelope.sasl_user and envelope.sender) and matches_domain(domain_of(envelope.sender), ours)
