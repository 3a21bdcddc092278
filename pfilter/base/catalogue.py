"""Words, dates and sizes in the reader's language, from message catalogues (gettext).

English stands in the templates and in the code; it needs no catalogue. Another language is
`<folder>/<language>/LC_MESSAGES/pfilter.mo`, built in (`pfilter/locale`) or in the folder `[notice] locale`, which adds
languages and replaces single strings, of English too.
"""

import os

from pfilter.base.errors import ConfigError
from pfilter.base.frozen import Frozen
from pfilter.base.text import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gettext import GNUTranslations

BUILT_IN = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "locale")
SOURCE = "en"
DOMAIN = "pfilter"
RIGHT_TO_LEFT = ("ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi")

_ = str  # marks strings for pybabel
MONTHS = (
    _("January"), _("February"), _("March"), _("April"), _("May"), _("June"),
    _("July"), _("August"), _("September"), _("October"), _("November"), _("December"),
)  # fmt: skip
WEEKDAYS = (
    _("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday"),
)  # fmt: skip
UNITS = {"kB": _("%(number)s kB"), "MB": _("%(number)s MB"), "GB": _("%(number)s GB"), "TB": _("%(number)s TB")}


class Language(Frozen):
    """One language; `catalogue` is None where English stands as it is written."""

    name: str  # as folders of catalogues are called: de, pt_BR
    catalogue: "GNUTranslations | None"

    @property
    def tag(self) -> str:
        """The name as HTML wants it (BCP 47)."""
        return self.name.replace("_", "-")

    @property
    def direction(self) -> str:
        """Which way it is written, as HTML calls it."""
        return "rtl" if self.name.partition("_")[0] in RIGHT_TO_LEFT else "ltr"

    def gettext(self, text: str) -> str:
        """Return a text in this language."""
        return self.catalogue.gettext(text) if self.catalogue else text

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the form for a number."""
        return self.catalogue.ngettext(one, many, number) if self.catalogue else one if number == 1 else many

    def pgettext(self, context: str, text: str) -> str:
        """Return a text that means different things in different places."""
        return self.catalogue.pgettext(context, text) if self.catalogue else text

    def date(self, seconds: int, zone: str, *, timed: bool) -> str:
        """Return a date such as Sunday, 29 November 2026, and `timed` its time: 14:05 UTC. Raises ConfigError."""
        from pfilter.base import days

        try:
            when = days.at(seconds, zone)
        except ValueError as error:
            raise ConfigError(f"[notice] timezone = {zone!r}: must be {error}") from None
        first = self.pgettext("day of the month", "1")  # 1er in French
        values = {
            "weekday": self.gettext(WEEKDAYS[when.weekday()]),
            "day": first if when.day == 1 else str(when.day),
            "month": self.gettext(MONTHS[when.month - 1]),
            "year": str(when.year),
        }
        date = self.filled(self.gettext("%(weekday)s, %(day)s %(month)s %(year)s"), values)
        if not timed:
            return date
        told = {"date": date, "time": f"{when.hour:02}:{when.minute:02}", "zone": when.tzname() or ""}
        return self.filled(self.gettext("%(date)s, %(time)s %(zone)s"), told)

    def size(self, octets: int) -> str:
        """Return a size as `text.human_size` does."""
        number, unit = human_size(octets).split(" ")
        number = number.replace(".", self.pgettext("decimal sign", "."))
        if unit in UNITS:
            return self.filled(self.gettext(UNITS[unit]), {"number": number})
        return self.filled(self.ngettext("%(number)s byte", "%(number)s bytes", octets), {"number": number})

    def filled(self, text: str, values: "dict[str, str]") -> str:
        """Return a text with its placeholders filled. Raises ConfigError for a catalogue that has others."""
        try:
            return text % values
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigError(f"catalogue {self.name}: {text!r} can't be filled: {error!r}") from error


def load(name: str, folder: str) -> Language:
    """Return a language; `folder` holds the administrator's catalogues, or is "". Raises ConfigError."""
    catalogue = None
    for path in (_path(BUILT_IN, name), _path(folder, name)) if folder else (_path(BUILT_IN, name),):
        if not os.path.exists(path):
            continue
        from gettext import GNUTranslations

        try:
            with open(path, "rb") as stream:
                found = GNUTranslations(stream)
        except Exception as error:  # whatever damaged data leads to
            raise ConfigError(f"catalogue {path}: {error}") from error
        if catalogue:
            found.add_fallback(catalogue)
        catalogue = found
    if catalogue is None and name != SOURCE:
        raise ConfigError(f'no catalogue for "{name}": {_path(folder or BUILT_IN, name)}')
    return Language(name=name, catalogue=catalogue)


def available(folder: str) -> tuple[str, ...]:
    """Return the languages that there are, with those of an administrator's folder."""
    found = {SOURCE}
    for place in (BUILT_IN, folder) if folder else (BUILT_IN,):
        try:
            names = os.listdir(place)
        except OSError:
            continue  # `load` and `pfilter check` name it
        found |= {name for name in names if os.path.exists(_path(place, name))}
    return tuple(sorted(found))


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, name, "LC_MESSAGES", f"{DOMAIN}.mo")
