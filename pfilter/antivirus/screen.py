"""What keeps a message from being delivered, before all rules: a virus, or what policy does not let pass."""

import time

from pfilter.antivirus import examine
from pfilter.antivirus.clamd import Verdict
from pfilter.base.errors import PfilterError, RefusedError, ScannerError, StoreError, sentence, without_tokens
from pfilter.base.frozen import Frozen
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.config.settings import Policy
from pfilter.message.addresses import is_own
from pfilter.message.filenames import domain_of
from pfilter.message.model import Envelope, Outcome
from pfilter.message.scan import Limits
from pfilter.store import kept
from pfilter.store.select import open_local


class Ruling(Frozen):
    """What a verdict means for a message; "" where it means nothing. At most one is given."""

    hold: str = ""  # why it goes to quarantine
    untouched: str = ""  # why it passes as it is, whatever the rules say
    refuse: str = ""  # why it is bounced
    wait: str = ""  # why it is tried again


def inspect(spool: Spool, envelope: Envelope, limits: Limits, policy: Policy, log: Log) -> Ruling:
    """Ask clamd, and rule by policy. Raises ScannerError (try again), RefusedError (bounce), OSError."""
    verdict = examine.examine(spool, limits, policy)
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender, "reason": verdict.reason}
    if verdict.status == "infected":
        log.event("warning", "virus", **about, applied=policy.mode != "observe")
    elif verdict.status != "clean":
        log.event("error" if verdict.status == "error" else "warning", "not scanned", **about)
    ruling = rule(verdict, envelope, policy)
    if ruling.refuse:
        raise RefusedError(ruling.refuse)
    if ruling.wait:
        raise ScannerError(ruling.wait)
    return ruling


def rule(verdict: Verdict, envelope: Envelope, policy: Policy) -> Ruling:
    """Return what policy makes of what clamd said. Pure."""
    if verdict.status == "clean" or policy.mode == "observe":
        return Ruling()
    if verdict.status == "infected":
        if policy.clamav_on_infected == "reject" and _may_bounce_to(envelope, policy):
            return Ruling(refuse=f"the message contains a virus: {verdict.reason}")
        return Ruling(hold=f"virus {verdict.reason}")
    if verdict.status == "error":
        return Ruling(wait=verdict.reason if policy.clamav_on_error == "defer" else "")
    told = f"not scanned for viruses: {verdict.reason}"
    if policy.clamav_on_unscanned == "quarantine":
        return Ruling(hold=told)
    return Ruling(untouched=told if policy.clamav_on_unscanned == "pass-unlinked" else "")


def _may_bounce_to(envelope: Envelope, policy: Policy) -> bool:
    """Whether a bounce, which carries the virus, goes to who sent it, and to nobody else.

    That somebody has logged in is not enough: a stolen account sends with the addresses of its victims. That every
    domain is ours (`*`) says nothing about one. A bounce of the null sender's mail goes nowhere.
    """
    ours = tuple(domain for domain in policy.own_domains if domain != "*")
    return bool(envelope.sasl_user and envelope.sender) and is_own(domain_of(envelope.sender), ours)


def hold(spool: Spool, envelope: Envelope, reason: str, policy: Policy, log: Log, *, may_notify: bool) -> Outcome:
    """Put a message into quarantine in place of delivering it. Raises StoreError, OSError: then it must be tried again.

    The administrator is told, best effort: to try again would keep the same file under the same name.
    """
    if not open_local(policy).has_room(spool.size, policy.store_min_free):
        raise StoreError("no room in the store for the quarantine: less than [store] min_free would be left")
    name = kept.keep(policy.store_path, kept.QUARANTINE, spool, envelope, reason, time.time())
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender}
    log.event("warning", "quarantined", **about, size=spool.size, reason=reason, original=name)
    if may_notify and policy.notify_admin:
        from pfilter.delivery import admin_alert

        try:
            admin_alert.tell(name, reason, envelope, policy)
        except (PfilterError, OSError, ValueError) as error:
            log.event("warning", "administrator not notified", **about, reason=without_tokens(sentence(error)))
    return Outcome(held=reason, size_in=spool.size)
