"""Mail that is not delivered but kept for the administrator to look at."""

import time

from pfilter.base.errors import StoreError
from pfilter.base.log import Log
from pfilter.base.spool import Spool
from pfilter.base.text import sentence, without_tokens
from pfilter.config.settings import Settings
from pfilter.decision.plan import Outcome
from pfilter.message.model import Envelope
from pfilter.store import kept
from pfilter.store.select import open_local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pfilter.delivery.smtp import Way


def hold(
    spool: Spool,
    envelope: Envelope,
    reason: str,
    settings: Settings,
    log: Log,
    way: "Way | None" = None,
    *,
    may_notify: bool,
) -> Outcome:
    """Put a message into quarantine in place of delivering it. Raises StoreError, OSError: then it must be tried again.

    The administrator is told, best effort: to try again would keep the same file under the same name.
    """
    if not open_local(settings).has_room(spool.lf_size, settings.store_min_free):
        raise StoreError("no room in the store for the quarantine: less than [store] min_free would be left")
    name = kept.keep(settings.store_path, kept.QUARANTINE, spool, envelope, reason, time.time())
    about = {"queue_id": envelope.queue_id, "sender": envelope.sender}
    log.event("warning", "quarantined", **about, size=spool.lf_size, reason=reason, original=name)
    if may_notify and settings.notify_admin:
        try:
            from pfilter.delivery import admin_alert

            admin_alert.tell(name, reason, envelope, settings, way)
        except Exception as error:  # noqa: BLE001  # it is kept: nothing may put it off any more
            log.event("warning", "administrator not notified", **about, reason=without_tokens(sentence(error)))
    return Outcome(held=reason, size_in=spool.lf_size)
