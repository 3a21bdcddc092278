"""The files of a message into the store, with their record and their page: what a plan wants linked."""

import time

from pfilter.base import days
from pfilter.base.errors import ConfigError
from pfilter.base.spool import Spool
from pfilter.config.settings import PRESIGNED_LIMIT, Settings
from pfilter.message import decoded, filenames
from pfilter.message.model import Envelope, Message
from pfilter.message.scratch import Scratch
from pfilter.notices import texts
from pfilter.store.record import Download, Record, RecordedFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pfilter.decision.plan import Action
    from pfilter.store.interface import Store


def _until(now: int, settings: Settings) -> int:
    # A signature does not outlive its limit, and the grace must have its time, too.
    most = PRESIGNED_LIMIT - settings.store_grace if settings.presigned else 0
    try:
        return days.promised(now, settings.store_keep, settings.notice_timezone, most)
    except ValueError as error:
        raise ConfigError(f"[notice] timezone: must be {error}") from None


def store_files(
    spool: Spool,
    message: Message,
    links: "Sequence[Action]",
    envelope: Envelope,
    settings: Settings,
    scratch: Scratch,
    store: "Store",
) -> Download:
    """Store the files that become links. Raises StoreError, ConfigError (a template), OSError."""
    contents = [(scratch.decoded[action.part], scratch.digest(action.part)) for action in links]
    header = message.root.header
    download_id = store.download_id(
        b"".join(spool.lf_windows(header.start, header.end)), envelope.sender, [digest for _, digest in contents]
    )
    given = filenames.distinct([action.name for action in links])
    now = int(time.time())
    subject = decoded.subject_of(message) if settings.notice_show_subject else ""
    record = Record(
        id=download_id,
        created=now,
        until=_until(now, settings),
        sender=envelope.sender.decode("utf-8", "replace"),
        recipients=len(envelope.recipients),
        queue_id=envelope.queue_id,
        message_id=message.message_id,
        files=tuple(
            RecordedFile(name=name, size=content.size, sha256=digest)
            for name, (content, digest) in zip(given, contents, strict=True)
        ),
        subject=subject,
        author=decoded.author_of(message, envelope.sender, settings.own_domains),
    )
    download = store.save(record, contents, lambda made: texts.page_of(record, made, settings, now))
    store.put_expired_page(lambda: texts.expired_page(settings), anew=False)
    return download
