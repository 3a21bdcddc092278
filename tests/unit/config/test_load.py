"""The configuration: defaults, units, and errors that say what is allowed."""

import ast
import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfilter.base.errors import ConfigError
from pfilter.base.limits import Limits
from pfilter.config import keys, load, readers, settings
from pfilter.config.settings import PRESIGNED_LIMIT, Settings
from tests.lib import support

# As the project promised them; other keys are in keys.KEYS alone.
PROMISED = """
[reinject]
method = "sendmail"
sendmail = "/usr/sbin/sendmail"
smtp = "127.0.0.1:10026"
timeout = "60s"
[policy]
exempt_senders = []
exempt_recipients = []
exempt_sasl_users = []
exempt_networks = []
null_sender = "strip"
mode = "filter"
deadline = "300s"
trace_header = "off"
[compress]
enabled = true
min_size = "16 KiB"
min_gain = "10%"
skip = [
    "*.xml", "*.edi", "*.ics", "*.vcf", "*.eml", "*.asc", "*.p7?", "*/xml", "application/*+xml", "application/edi*",
    "text/*vcard", "text/directory", "message/*", "application/*pkcs7*",
]
[link]
enabled = true
part_limit = "800 KiB"
bandwidth_limit = "1300 KiB"
min_size = "20 KiB"
[store]
path = "/var/lib/pfilter"
keep = "7d"
grace = "7d"
min_free = "1 GiB"
[notify]
sender = true
[log]
to = "syslog"
level = "info"
format = "json"
"""
LEAST: dict[str, dict[str, object]] = {
    "policy": {"own_domains": ["example.org"]},
    "store": {"base_url": "https://files.example.org/d"},
}


def made(**sections: dict[str, object]) -> Settings:
    """Return a policy with little but what is given."""
    values = {name: {**LEAST.get(name, {}), **sections.get(name, {})} for name in {*LEAST, *sections}}
    return load.from_values(values)


def refused(**sections: dict[str, object]) -> str:
    """Return what is said of a configuration that can't be used."""
    with pytest.raises(ConfigError) as caught:
        made(**sections)
    return str(caught.value)


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section, keys in tomllib.loads(PROMISED).items() for name in keys]
)
def test_defaults_are_those_promised(section: str, name: str) -> None:
    """Each key exists, and its default is the one promised."""
    (key,) = [key for key in keys.KEYS if (key.section, key.name) == (section, name)]
    assert key.default == tomllib.loads(PROMISED)[section][name]


def test_the_defaults_written_out_are_the_defaults() -> None:
    """A file that writes every default out means the same as one that leaves them out."""
    assert made(**tomllib.loads(PROMISED)) == made()


def test_every_key_has_a_sentence_and_an_attribute() -> None:
    """Each key is an attribute of the policy, and says what it is for."""
    limits = {f"limits_{name}" for name in Limits._fields}
    assert {key.attribute for key in keys.KEYS} == {*Settings._fields, *limits} - {"limits"}
    assert all(key.sentence.endswith(".") for key in keys.KEYS)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("0", 0),
        ("1", 1),
        (7, 7),
        ("800 KiB", 819_200),
        ("800KiB", 819_200),
        ("800 k", 819_200),
        ("1.5 MB", 1_500_000),
        ("1 GiB", 1 << 30),
        ("2g", 2 << 30),
        ("1 TiB", 1 << 40),
        ("10 kb", 10_000),
        ("0.5 MiB", 524_288),
        (" 3 B ", 3),
    ],
)
def test_sizes(text: object, octets: int) -> None:
    """Sizes are read as people write them."""
    assert made(link={"part_limit": text}).link_part_limit == octets


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("5 min", 300), ("1h", 3600), ("7d", 604_800), ("2w", 1_209_600), (30, 30), ("0s", 0)],
)
def test_durations(text: object, seconds: int) -> None:
    """Times are read as people write them."""
    assert made(store={"grace": text}).store_grace == seconds


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0%", 0), ("100 %", 1), ("2.5%", 0.025)])
def test_shares(text: str, share: float) -> None:
    """Shares are percentages."""
    assert made(compress={"min_gain": text}).compress_min_gain == pytest.approx(share)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("link", "part_limit", "big"),
        ("link", "part_limit", "-1"),
        ("link", "part_limit", -1),
        ("link", "part_limit", True),
        ("link", "part_limit", 1.5),
        ("link", "part_limit", "1 XiB"),
        ("link", "part_limit", "1.2.3 KiB"),
        ("link", "part_limit", ""),
        ("link", "part_limit", "nan"),
        ("link", "part_limit", []),
        ("link", "enabled", "yes"),
        ("link", "enabled", 1),
        ("store", "keep", "soon"),
        ("store", "keep", "7 days ago"),
        ("store", "path", "relative"),
        ("store", "path", ""),
        ("store", "path", "/a\0b"),
        ("store", "base_url", "files.example.org"),
        ("store", "base_url", "ftp://x/"),
        ("store", "base_url", "https://"),
        ("store", "base_url", "https://x/?a"),
        ("store", "base_url", "https://x/ y"),
        ("store", "base_url", 'https://x/"'),
        ("store", "base_url", "https://x/<b>"),
        ("store", "base_url", "https://ü.example"),
        ("store", "base_url", "javascript://x/y"),
        ("compress", "min_gain", 10),
        ("compress", "min_gain", "10"),
        ("compress", "min_gain", "101%"),
        ("compress", "min_gain", "-1%"),
        ("compress", "skip", "*.xml"),
        ("compress", "skip", [1]),
        ("compress", "skip", [""]),
        ("policy", "own_domains", []),
        ("policy", "own_domains", "example.org"),
        ("policy", "own_domains", ["a@example.org"]),
        ("policy", "exempt_senders", ["example.org"]),
        ("policy", "exempt_networks", ["300.0.0.0/8"]),
        ("policy", "exempt_networks", ["example.org"]),
        ("policy", "own_domains", ["*.example.org"]),
        ("policy", "own_domains", ["example.org."]),
        ("policy", "own_domains", ["a..example.org"]),
        ("policy", "exempt_senders", ["*@example.org"]),
        ("policy", "exempt_senders", ["@*.example.org"]),
        ("policy", "exempt_recipients", ["a@.example.org"]),
        ("policy", "exempt_recipients", ["a@"]),
        ("store", "keep", "100000d"),
        ("link", "part_limit", "1e30"),
        ("link", "part_limit", "99999999999 TiB"),
        ("link", "part_limit", 1 << 70),
        ("policy", "null_sender", "keep"),
        ("policy", "mode", "Filter"),
        ("policy", "trace_header", True),
        ("reinject", "method", "lmtp"),
        ("reinject", "smtp", "127.0.0.1"),
        ("reinject", "smtp", ":25"),
        ("reinject", "smtp", "x:0"),
        ("reinject", "smtp", "x:65536"),
        ("reinject", "sendmail", "sendmail"),
        ("log", "to", "file:relative"),
        ("log", "to", "stdout"),
        ("log", "level", "loud"),
        ("log", "format", "xml"),
        ("notify", "from", "a\nb"),
        ("notify", "sender", "no"),
        ("limits", "parts", 0),
        ("limits", "nesting", "100"),
    ],
)
def test_impossible_values_are_refused(section: str, name: str, value: object) -> None:
    """A wrong type or an impossible value is an error that names section, key, value and what is allowed."""
    said = refused(**{section: {name: value}})
    assert f"[{section}] {name}" in said
    assert repr(value) in said
    assert "must be" in said


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            {"link": {"part_limitt": "1"}},
            ["[link] part_limitt", 'did you mean "part_limit"', "allowed", "bandwidth_limit"],
        ),
        ({"link": {"keep": "1d"}}, ["[link] keep", "belongs in [store]"]),
        ({"links": {}}, ["[links]", 'did you mean "link"', "sections"]),
        ({"part_limit": {}}, ["part_limit", "belongs in [link]"]),
        ({"link": {"zzzzzz": 1}}, ["[link] zzzzzz", "allowed"]),
    ],
)
def test_unknown_keys_are_refused_with_a_guess(sections: dict[str, dict[str, object]], words: list[str]) -> None:
    """An unknown key or section is an error with a guess at what was meant, and with what is allowed."""
    said = refused(**sections)
    assert all(word in said for word in words), said


def test_a_key_outside_of_sections_is_refused() -> None:
    """A key at the top says into which section it belongs."""
    with pytest.raises(ConfigError, match=r"belongs in \[policy\]|must be a section"):
        load.from_values({**LEAST, "mode": "observe"})


def test_own_domains_has_no_default() -> None:
    """Nobody's mail is filtered by accident."""
    with pytest.raises(ConfigError, match=r"\[policy\] own_domains is missing"):
        load.from_values({"store": LEAST["store"]})


def test_links_need_a_base_url() -> None:
    """Links enabled without base_url are an error; without links it is not needed."""
    with pytest.raises(ConfigError, match=r"\[store\] base_url is missing"):
        load.from_values({"policy": LEAST["policy"]})
    assert not load.from_values({"policy": LEAST["policy"], "link": {"enabled": False}}).link_enabled


@pytest.mark.parametrize(
    "sections",
    [
        {"policy": {"deadline": "60s"}},
        {"policy": {"deadline": "30s"}},
        {"reinject": {"timeout": "0s"}},
        {"reinject": {"data_done_timeout": "0s"}},
        {"store": {"keep": "0s"}},
        {"notify": {"from": "nobody"}},
        {"notify": {"from": "IT <it@example.org"}},
        {"notify": {"from": "jürgen@example.org"}},
        {"notify": {"from": "a@b, c@d"}},
        {"limits": {"header": 1000}},
        {"limits": {"boundary": 20}},
    ],
)
def test_what_cannot_work_together_is_refused(sections: dict[str, dict[str, object]]) -> None:
    """A deadline that leaves no time to reinject, links that never work, a sender that is no address."""
    assert refused(**sections)


def test_the_limits_of_the_scanner_are_one_value() -> None:
    """[limits] becomes what the scanner takes; its defaults are the scanner's."""
    assert made().limits == Limits()
    assert made(limits={"parts": 7, "header": "1 MiB"}).limits == Limits(parts=7, header=1 << 20)


@pytest.mark.parametrize("author", ["it@example.org", "IT <it@example.org>", "IT dept. <it@mail.example.org>"])
def test_authors_of_notifications(author: str) -> None:
    """notify.from is an address, with or without a name."""
    assert made(notify={"from": author}).notify_from == author


def test_the_smallest_times_are_legal() -> None:
    """Keep = "1s" and grace = "0s" are legal."""
    found = made(store={"keep": "1s", "grace": "0s"})
    assert (found.store_keep, found.store_grace) == (1, 0)


@pytest.mark.parametrize("url", ["https://files.example.org/d/", "https://files.example.org/d"])
def test_a_slash_at_the_end_does_not_matter(url: str) -> None:
    """base_url is used without a slash at its end."""
    assert made(store={"base_url": url}).store_base_url == "https://files.example.org/d"


@given(st.text(max_size=20))
def test_no_text_is_read_in_a_surprising_way(text: str) -> None:
    """Whatever stands where a size should, there is a size of octets, or the one kind of error."""
    try:
        assert readers.size(text) >= 0
    except (ValueError, OverflowError) as error:
        assert "a size such as" in str(error)  # noqa: PT017


# --- Files


def test_a_file_is_read(tmp_path: Path) -> None:
    """A file's values become the policy."""
    file = tmp_path / "pfilter.toml"
    file.write_text('[policy]\nown_domains = ["example.org"]\n[link]\nenabled = false\n')
    assert load.load(str(file)).own_domains == ("example.org",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[policy\n", ["not TOML", "line 1"]),
        (b"\xff", ["not TOML"]),
        (b"[policy]\nown_domains = []\n", ["[policy] own_domains"]),
    ],
)
def test_errors_name_the_file(tmp_path: Path, content: bytes, words: list[str]) -> None:
    """An error in a file begins with its name."""
    file = tmp_path / "pfilter.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load.load(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert all(word in str(caught.value) for word in words)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Without a file the error names it, and --config."""
    with pytest.raises(ConfigError, match=r"No such file.*--config"):
        load.load(str(tmp_path / "none.toml"))


def test_defaults_without_a_file() -> None:
    """Without a file every sender is ours, and there are no links unless there is a place for them."""
    assert load.without_file().own_domains == ("*",)
    assert not load.without_file().link_enabled
    found = load.without_file("/tmp/s", "https://x.example/d")
    assert (found.link_enabled, found.store_path) == (True, "/tmp/s")


def words_of_settings() -> dict[str, set[str]]:
    """Return the Literals of Settings by attribute, as type checkers read them."""
    tree = ast.parse(Path(settings.__file__).read_text(encoding="utf-8"))
    literals = {
        node.targets[0].id: {str(word.value) for word in ast.walk(node.value) if isinstance(word, ast.Constant)}
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "Literal[" in ast.unparse(node)
    }
    fields = settings.Settings.__annotations__
    return {name: literals[kind] for name, kind in fields.items() if isinstance(kind, str) and kind in literals}


def test_words_are_those_that_type_checkers_know() -> None:
    """A key with a few words takes those of its Literal in Settings, and no other."""
    known = words_of_settings()
    assert len(known) > 10
    everything = set().union(*known.values())
    readers = {key.attribute: key.read for key in keys.KEYS}
    for name, words in known.items():
        taken = set()
        for word in everything:
            with contextlib.suppress(ValueError):
                readers[name](word)
                taken.add(word)
        assert taken == words, name


@pytest.mark.parametrize(("keep", "grace"), [("7d", "0d"), ("6d", "1d"), ("1d", "6d")])
def test_presigned_links_may_be_promised_for_all_the_time_that_they_have(keep: str, grace: str) -> None:
    """Seven days with the grace are the most that can be signed, and may be configured; a minute more is an error."""
    bucket = {"url": "s3://bucket", "links": "presigned", "grace": grace}
    made = load.from_values({"policy": {"own_domains": ["*"]}, "store": {**bucket, "keep": keep}})
    assert made.presigned
    assert made.store_keep + made.store_grace == PRESIGNED_LIMIT
    with pytest.raises(ConfigError, match="7 days at most"):
        load.from_values({"policy": {"own_domains": ["*"]}, "store": {**bucket, "keep": f"{made.store_keep + 60}s"}})


def test_a_time_zone_is_known() -> None:
    """A zone that this machine does not know is an error that says what is allowed."""
    assert support.policy(notice={"timezone": "Europe/Berlin"}).notice_timezone == "Europe/Berlin"
    with pytest.raises(ConfigError, match=r"\[notice\] timezone = 'Berlin': must be a time zone such as"):
        support.policy(notice={"timezone": "Berlin"})
