"""Checks that an administrator runs before Postfix hands over the first message, and whenever something looks odd."""

from pfilter.base.errors import PfilterError
from pfilter.base.finding import Finding
from pfilter.base.text import sentence
from pfilter.check import links, log, reinjection, scanner, store, templates, wiring
from pfilter.config.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKS: "tuple[Callable[[Settings], Iterator[Finding]], ...]" = (
    store.look,
    store.secret,
    store.bucket,
    links.look,
    templates.look,
    reinjection.look,
    scanner.look,
    wiring.look,
    log.look,
)


def run(settings: Settings) -> "Iterator[Finding]":
    """Look at everything that mail will need, one finding after the other. Raises nothing."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except (PfilterError, OSError) as error:
            yield Finding("error", sentence(error))
