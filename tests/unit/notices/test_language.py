"""Languages: what catalogues say and that they say all of it, dates and sizes, who gets which."""

import io
import re
import tomllib
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages import Catalog, mofile, pofile
from babel.messages.extract import extract_from_dir

from pfilter.base.catalogue import Language
from pfilter.base.catalogue import load as load_language
from pfilter.base.errors import ConfigError
from pfilter.config import readers
from pfilter.notices import language, texts
from tests.lib import support
from tests.lib.support import PROJECT
from tests.unit.notices.test_texts import download

LOCALE = PROJECT / "pfilter" / "locale"
LANGUAGES = ("de", "es", "fr")
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
TYPOGRAPHIC = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u202f\u0153"  # what ISO 8859-1 can't hold


def spoken(name: str, folder: str = "") -> Language:
    """Return a language."""
    return load_language(name, folder)


def forms(text: object) -> tuple[str, ...]:
    """Return the forms of a string of a catalogue: one, or those for numbers."""
    return (text,) if isinstance(text, str) else tuple(text)  # type: ignore[arg-type]


def ids(catalogue: Catalog) -> set[tuple[object, object]]:
    """Return what a catalogue has strings for."""
    return {(message.context, message.id) for message in catalogue if message.id}


def po(path: Path, name: str | None = None) -> Catalog:
    """Read a catalogue's source."""
    with path.open("rb") as stream:
        return pofile.read_po(stream, locale=name)


def catalogue(folder: Path, name: str, strings: dict[str, str]) -> None:
    """Compile a catalogue of these strings."""
    made = Catalog(locale=name)
    for text, translation in strings.items():
        made.add(text, translation)
    place = folder / name / "LC_MESSAGES"
    place.mkdir(parents=True)
    with (place / "pfilter.mo").open("wb") as stream:
        mofile.write_mo(stream, made)


def extracted() -> set[tuple[object, object]]:
    """Return what templates and code say, as pybabel finds it with the project's own configuration."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["babel"]["mappings"]
    found = extract_from_dir(PROJECT, [(one["pattern"], one["method"]) for one in settings])
    return {(context, text) for _file, _line, text, _comments, context in found}


def test_everything_that_is_said_can_be_translated() -> None:
    """The template of catalogues has what pybabel finds now, and nothing else."""
    assert ids(po(LOCALE / "pfilter.pot")) == extracted()


@pytest.mark.parametrize("name", LANGUAGES)
def test_catalogues_are_complete(name: str) -> None:
    """Each built-in catalogue translates every string, in every form, and marks none as doubtful."""
    found = po(LOCALE / name / "LC_MESSAGES" / "pfilter.po", name)
    assert ids(found) == ids(po(LOCALE / "pfilter.pot"))
    assert [message.id for message in found if message.fuzzy or not all(forms(message.string))] == []
    assert [
        message.id for message in found if message.id and len(forms(message.id)) != len(forms(message.string))
    ] == []


@pytest.mark.parametrize("name", LANGUAGES)
def test_catalogues_keep_placeholders(name: str) -> None:
    """Each translation has the placeholders of the original, each once."""
    for message in po(LOCALE / name / "LC_MESSAGES" / "pfilter.po", name):
        for original, translation in zip(forms(message.id), forms(message.string), strict=True):
            if message.id:
                assert sorted(PLACEHOLDER.findall(original)) == sorted(PLACEHOLDER.findall(translation)), translation


@pytest.mark.parametrize("name", LANGUAGES)
def test_compiled_catalogues_are_those_of_the_sources(name: str) -> None:
    """What is read at run time is what the source says."""
    folder = LOCALE / name / "LC_MESSAGES"
    made = io.BytesIO()
    mofile.write_mo(made, po(folder / "pfilter.po", name))
    made.seek(0)
    with (folder / "pfilter.mo").open("rb") as stream:
        kept = GNUTranslations(stream)
    fresh = GNUTranslations(made)
    assert {**vars(kept)["_catalog"], "": ""} == {**vars(fresh)["_catalog"], "": ""}  # the header has a date
    assert [kept.ngettext("%(num)s file (%(size)s)", "%(num)s files (%(size)s)", n) for n in range(4)] == [
        fresh.ngettext("%(num)s file (%(size)s)", "%(num)s files (%(size)s)", n) for n in range(4)
    ]


@pytest.mark.parametrize("name", LANGUAGES)
def test_what_goes_into_mail_fits_into_latin_1(name: str) -> None:
    """Notices use no typographic signs that would make a part in ISO 8859-1 another charset."""
    made = support.policy(notice={"language": name, "organisation": "X", "contact": "x@example.org"})
    said = [
        texts.for_links(download("a", "b"), "", made).text,
        texts.for_stripped(["a", "b"], "r", made).text,
        texts.notification(download("a"), "", "", made).text,
        texts.quarantined("n", "r", support.ENVELOPE.replace(sender=b""), made).text,
    ]
    for text in said:
        assert not set(text) & set(TYPOGRAPHIC)
        text.encode("iso-8859-1")


@pytest.mark.parametrize(
    ("name", "seconds", "timed", "text"),
    [
        ("en", 0, "00:00 UTC", "Thursday, 1 January 1970"),
        ("en", 1_795_000_000, "11:06 UTC", "Wednesday, 18 November 2026"),
        ("de", 0, "00:00 Uhr (UTC)", "Donnerstag, 1. Januar 1970"),
        ("fr", 0, " à 00:00 (UTC)", "jeudi 1er janvier 1970"),
        ("fr", 1_795_000_000, " à 11:06 (UTC)", "mercredi 18 novembre 2026"),
        ("es", 0, "a las 00:00 (UTC)", "jueves, 1 de enero de 1970"),
    ],
)
def test_dates_are_days(name: str, seconds: int, timed: str, text: str) -> None:
    """Dates are absolute, and begin with the day of the week; with a time they say whose clocks it is by."""
    assert spoken(name).date(seconds, "", timed=False) == text
    assert spoken(name).date(seconds, "UTC", timed=True) == text + (timed if timed[0] == " " else f", {timed}")


def test_dates_are_those_of_the_zone() -> None:
    """Readers are told the date of the zone that is configured, and only with hours the time and its zone."""
    files = download("a").replace(until=1_800_053_999)  # 15 January 2027, 23:59:59 in Berlin
    berlin = {"timezone": "Europe/Berlin"}
    days = support.policy(notice=berlin)
    hours = support.policy(notice=berlin, store={"keep": "12h"})
    page = texts.page(files, "", days).decode("utf-8")
    assert '<time datetime="2027-01-15">Friday, 15 January 2027</time>' in page
    assert "Friday, 15 January 2027" in texts.for_links(files, "", days).text
    page = texts.page(files, "", hours).decode("utf-8")
    assert '<time datetime="2027-01-15T22:59:59Z">Friday, 15 January 2027, 23:59 CET</time>' in page


@pytest.mark.parametrize(
    ("name", "octets", "text"),
    [
        ("en", 1, "1 byte"),
        ("en", 940, "940 bytes"),
        ("en", 18_400_000, "18.4 MB"),
        ("de", 1, "1 Byte"),
        ("de", 18_400_000, "18,4 MB"),
        ("fr", 18_400_000, "18,4\xa0Mo"),
        ("fr", 0, "0\xa0octet"),
        ("es", 2_000_000_000_000, "2,0 TB"),
    ],
)
def test_sizes_are_written_as_readers_do(name: str, octets: int, text: str) -> None:
    """Units, numbers and decimal signs are those of the language."""
    assert spoken(name).size(octets) == text


LANGUAGES_BY_DOMAIN = {
    "*": "en", ".example.org": "fr", "example.org": "de", ".berlin.example.org": "de", "Example.ES": "es",
}  # fmt: skip


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("a@example.org", "de"),
        ("a@EXAMPLE.org", "de"),
        ("a@paris.example.org", "fr"),
        ("a@x.berlin.example.org", "de"),
        ("a@example.es", "es"),
        ("a@elsewhere.example", "en"),
        ("", "fr"),
        ("nobody", "fr"),
    ],
)
def test_the_domain_of_the_sender_chooses(sender: str, name: str) -> None:
    """The domain that says most counts, in whatever order they stand; who has none gets [notice] language."""
    for order in (1, -1):
        table = dict([*LANGUAGES_BY_DOMAIN.items()][::order])
        made = support.policy(notice={"language": "fr", "languages": table})
        assert language.of(sender, made).name == name


def test_everything_speaks_the_language_of_the_sender() -> None:
    """Notice, page and mail to the sender are in the language of the sender's domain; the others are not."""
    made = support.policy(notice={"languages": {"example.de": "de"}, "contact": "x@example.de"})
    files = download("a.pdf", "b.pdf")
    told = texts.for_links(files, "a@example.de", made)
    letter = texts.notification(files, "a@example.de", "", made)
    page = texts.page(files, "a@example.de", made).decode("utf-8")
    assert "2 Dateien zum Herunterladen, verfügbar bis Freitag, 15. Januar 2027\n" in told.text
    assert "Download-Seite öffnen" in told.html
    assert letter.subject == "Ihre Anhänge wurden durch Links ersetzt"
    assert "Nachricht: (kein Betreff)" in letter.text
    assert '<html lang="de" dir="ltr">' in page
    assert '2 Dateien (<span class="whole">2,5 MB</span>)' in page
    assert '<html lang="en"' in texts.expired_page(made).decode("utf-8")
    assert "2 files to download" in texts.for_links(files, "a@example.fr", made).text


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_sentence_is_translated(name: str) -> None:
    """No English is left in what a reader of another language sees."""
    made = support.policy(notice={"language": name, "organisation": "X", "contact": "x@example.org"})
    files = download("a.pdf")
    told = texts.for_links(files, "", made)
    everything = [
        told.text, told.html, *vars(texts.for_stripped(["a"], "r", made)).values(),
        *vars(texts.notification(files, "", "", made)).values(),
        *vars(texts.quarantined("n", "r", support.ENVELOPE.replace(sender=b""), made)).values(),
        texts.page(files, "a@b", made, "x").decode("utf-8"), texts.expired_page(made).decode("utf-8"),
    ]  # fmt: skip
    for text in everything:
        shown = re.sub(r"(?s)<style>.*?</style>|<[^>]*>|https:\S*|\bfiles\.example\.org", " ", text)
        assert not re.search(
            r"\b(the|this|files|available|attachments|please|from|none|unknown)\b", shown, re.IGNORECASE
        )


def test_an_administrator_adds_a_language(tmp_path: Path) -> None:
    """A catalogue in [notice] locale is another language; what it lacks is English."""
    catalogue(tmp_path, "pt_BR", {"Download": "Baixar"})
    made = support.policy(notice={"language": "pt-BR", "locale": str(tmp_path)})
    page = texts.page(download("a"), "a@b", made).decode("utf-8")
    assert '<html lang="pt-BR" dir="ltr">' in page
    assert ">Baixar</a>" in page
    assert "Available until" in page


@pytest.mark.parametrize(("name", "left"), [("de", "Verfügbar bis"), ("en", "Available until")])
def test_an_administrator_changes_a_string(tmp_path: Path, name: str, left: str) -> None:
    """A catalogue for a language that exists replaces single strings, of English too."""
    catalogue(tmp_path, name, {"Download": "Get <it> & \"go\" 'on'"})
    made = support.policy(notice={"language": name, "locale": str(tmp_path)})
    page = texts.page(download("a"), "a@b", made).decode("utf-8")
    assert "Get &lt;it&gt; &amp; &quot;go&quot; 'on'</a>" in page
    assert left in page


def test_what_is_written_from_right_to_left(tmp_path: Path) -> None:
    """A page in Hebrew runs the other way."""
    catalogue(tmp_path, "he", {"Download": "הורדה"})
    made = support.policy(notice={"language": "he", "locale": str(tmp_path)})
    assert '<html lang="he" dir="rtl">' in texts.page(download("a"), "a@b", made).decode("utf-8")


@pytest.mark.parametrize("translation", ["%(nobody)s", "%(date)d", "%(date", "%s %s"])
def test_a_catalogue_with_wrong_placeholders_is_a_config_error(tmp_path: Path, translation: str) -> None:
    """It is named, also by `pfilter check`, and so is the language."""
    catalogue(tmp_path, "it", {"Message: %(subject)s": translation})
    made = support.policy(notice={"language": "it", "locale": str(tmp_path)})
    with pytest.raises(ConfigError, match="catalogue it"):
        texts.notification(download("a"), "", "", made)
    with pytest.raises(ConfigError, match="catalogue it"):
        texts.check(made)


@pytest.mark.parametrize("data", [b"", b"\xde\x12\x04\x95", b"x" * 100, b"\xde\x12\x04\x95" + b"\xff" * 40])
def test_a_damaged_catalogue_is_a_config_error(tmp_path: Path, data: bytes) -> None:
    """What is no catalogue is named."""
    place = tmp_path / "it" / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / "pfilter.mo").write_bytes(data)
    made = support.policy(notice={"language": "it", "locale": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"pfilter\.mo"):
        texts.expired_page(made)


def test_a_catalogue_that_vanished_is_a_config_error(tmp_path: Path) -> None:
    """Between the reading of the configuration and its use."""
    made = support.policy().replace(notice_language="it", notice_locale=str(tmp_path))
    with pytest.raises(ConfigError, match='no catalogue for "it"'):
        texts.expired_page(made)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"language": "it"}, r'\[notice\] language: there is no catalogue for "it"; there are de, en, es, fr$'),
        ({"languages": {"example.it": "it"}}, r'\[notice\] languages: there is no catalogue for "it"'),
        ({"language": "../../etc"}, r"\[notice\] language = .*must be a language such as"),
        ({"language": ""}, r"\[notice\] language = ''"),
        ({"language": ["de"]}, r"\[notice\] language = "),
        ({"languages": ["de"]}, r"\[notice\] languages = .*must be a table such as"),
        ({"languages": {"a@example.de": "de"}}, r"\[notice\] languages = .*domains"),
        ({"languages": {"example.de": 1}}, r"\[notice\] languages = .*a language such as"),
        ({"locale": "locale"}, r"\[notice\] locale = .*an absolute path"),
    ],
)
def test_languages_that_cannot_be_used(given: dict[str, object], words: str) -> None:
    """An impossible language is an error that says what is allowed, and which there are."""
    with pytest.raises(ConfigError, match=words):
        support.policy(notice=given)


def test_the_table_of_languages_is_kept_as_pairs() -> None:
    """The compiled configuration holds what marshal knows."""
    found = readers.languages({"*": "en", ".a.example": "fr", "b.a.example": "pt-BR"})
    assert found == (("b.a.example", "pt_BR"), (".a.example", "fr"), ("*", "en"))


def test_english_needs_no_catalogue() -> None:
    """English stands as it is written, and costs nothing."""
    assert spoken("en").catalogue is None
