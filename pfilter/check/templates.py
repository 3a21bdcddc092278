"""The words that readers get: templates and catalogues."""

import os

from pfilter.base.finding import Finding
from pfilter.config.settings import Settings
from pfilter.notices import texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def look(settings: Settings) -> "Iterator[Finding]":
    """Yield what is right and what is not."""
    texts.check(settings)
    where = settings.notice_templates or "built in"
    yield Finding("ok", f"templates can be used ({where}), in {', '.join(settings.languages)}")
    for key, folder in (("templates", settings.notice_templates), ("locale", settings.notice_locale)):
        if folder and not os.path.isdir(folder):
            yield Finding("error", f"[notice] {key} = {folder}: no such directory")
