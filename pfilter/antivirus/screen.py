"""What keeps a message from being delivered, before all rules: a virus, or what policy does not let pass."""

import time

from pfilter.antivirus import examine
from pfilter.antivirus.clamd import Verdict
from pfilter.base.errors import PfilterError, RefusedError, ScannerError, StoreError
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.base.text import sentence, without_tokens
from pfilter.config.settings import Settings
from pfilter.message.addresses import matches_domain
from pfilter.message.filenames import domain_of
from pfilter.message.model import Envelope, Outcome
from pfilter.message.scan import Limits
from pfilter.store import kept
from pfilter.store.select import open_local


class Screening(Frozen):
    """What a verdict means for a message; "" where it means nothing. At most one is given."""

    hold: str = ""  # why it goes to quarantine
    untouched: str = ""  # why it passes as it is, whatever the rules say
    refuse: str = ""  # why it is bounced
    wait: str = ""  # why it is tried again


def inspect(spool: Spool, envelope: Envelope, limits: Limits, settings: Settings, log: Log) -> Screening:
    """Ask clamd, and rule by policy. Raises ScannerError (try again), RefusedError (bounce), OSError."""
    verdict = examine.examine(spool, limits, settings)
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


def hold(spool: Spool, envelope: Envelope, reason: str, settings: Settings, log: Log, *, may_notify: bool) -> Outcome:
    """Put a message into quarantine in place of delivering it. Raises StoreError, OSError: then it must be tried again.

    The administrator is told, best effort: to try again would keep the same file under the same name.
    """
    if not open_local(settings).has_room(spool.size, settings.store_min_free):
        raise StoreError("no room in the store for the quarantine: less than [store] min_free would be left")
    name = kept.keep(settings.store_path, kept.QUARANTINE, spool, envelope, reason, time.time())
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender}
    log.event("warning", "quarantined", **about, size=spool.size, reason=reason, original=name)
    if may_notify and settings.notify_admin:
        from pfilter.delivery import admin_alert

        try:
            admin_alert.tell(name, reason, envelope, settings)
        except (PfilterError, OSError, ValueError) as error:
            log.event("warning", "administrator not notified", **about, reason=without_tokens(sentence(error)))
    return Outcome(held=reason, size_in=spool.size)
