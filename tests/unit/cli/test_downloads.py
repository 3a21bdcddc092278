"""`pfilter downloads`: what people see of downloads, and do to them; over a folder and over a bucket."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pfilter.base.errors import ConfigError, StoreError, UsageError
from pfilter.cli import app, downloads, listing
from pfilter.cli.listing import Filter
from tests.lib import stores
from tests.lib.clamd_server import EICAR
from tests.lib.stores import DAY, ID, OTHER, Place, record
from tests.lib.support import BASE_URL

THIRD = "c" * 32


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Place:
    """Return one store after the other, with a configuration file."""
    if request.param == "local":
        made = stores.local(store)
    else:
        made = stores.objects(store, request.getfixturevalue("object_store"), links="public")
    names = ("path", "base_url", "min_free", "keep", "grace", "url", "endpoint", "region", "credentials", "links")
    lines = [f"{name} = {json.dumps(getattr(made.policy, f'store_{name}'))}" for name in names]
    text = '[policy]\nown_domains = ["*"]\n[store]\n' + "\n".join(lines) + f'\n[log]\nto = "file:{tmp_path}/log"\n'
    (tmp_path / "pfilter.toml").write_text(text)
    return made


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs a command in this process; what it raises is raised."""

    def go(*arguments: str, status: int = 0, answer: str = "") -> Result:
        environment = {"PFILTER_CONFIG": str(tmp_path / "pfilter.toml")}
        done = CliRunner().invoke(app, ["downloads", *arguments], input=answer, env=environment)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return done

    return go


def fill(place: Place) -> None:
    """Store three downloads."""
    now = int(time.time())
    for download_id, sender, age, until, data in (
        (ID, "alice@example.org", 5 * DAY, now + DAY, b"x" * 10),
        (OTHER, "bob@example.org", DAY, now + 2 * DAY, b"x" * 2000),
        (THIRD, "carol@sub.example.net", 9 * DAY, now - DAY, b"x" * 300_000),
    ):
        place.save(download_id, until=until, files={"one.bin": data})
        made = place.keeper.record(download_id).replace(sender=sender, created=now - age)
        rewrite(place, made)


def rewrite(place: Place, made: Any) -> None:
    """Change a record, whatever it says."""
    from pfilter.store.record import encode

    if place.kind == "local":
        Path(place.policy.store_path, "records", f"{made.id}.json").write_bytes(encode(made))
    else:
        place.store.bucket.put(f"records/{made.id}.json", encode(made), {})


def shown(done: Result) -> list[str]:
    """Return the ids in a table."""
    return [line.split()[0] for line in done.output.splitlines()[1:-1]]


def events(tmp_path: Path) -> list[dict[str, Any]]:
    """Return the events that were logged."""
    file = tmp_path / "log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# --- list and show


def test_list(place: Place, run: Any) -> None:
    """One line a download, the newest first, totals below; what is past its date is marked."""
    fill(place)
    done = run("list")
    assert shown(done) == [OTHER[:8], ID[:8], THIRD[:8]]
    lines = done.output.splitlines()
    assert lines[0].split() == ["ID", "UNTIL", "(UTC)", "SENDER", "FILES", "SIZE"]
    assert "! " in lines[3]
    assert lines[-1] == "3 downloads, 3 files, 302 kB; 1 past its date (!)"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--sender", "BOB@example.org"], [OTHER]),
        (["--sender", "@example.org"], [OTHER, ID]),
        (["--sender", "@.example.net", "--sender", "bob@example.org"], [OTHER, THIRD]),
        (["--older-than", "3d"], [ID, THIRD]),
        (["--larger-than", "1k"], [OTHER, THIRD]),
        (["--expired"], [THIRD]),
        (["--older-than", "3d", "--sender", "@example.org"], [ID]),
        (["--sort", "until"], [OTHER, ID, THIRD]),
        (["--sort", "size"], [THIRD, OTHER, ID]),
        (["--sort", "sender"], [ID, OTHER, THIRD]),
    ],
)
def test_list_of_some(store: Path, tmp_path: Path, run: Any, options: list[str], expected: list[str]) -> None:
    """Conditions select, all of them together; an order orders."""
    place = stores.local(store)
    text = f'[policy]\nown_domains = ["*"]\n[store]\npath = "{store}"\nbase_url = "{BASE_URL}"\n'
    (tmp_path / "pfilter.toml").write_text(text)
    fill(place)
    assert shown(run("list", *options)) == [one[:8] for one in expected]


def test_list_for_programs(place: Place, run: Any) -> None:
    """JSON has all that is known, but no link and no whole id: whoever has these can download."""
    fill(place)
    done = run("list", "--json")
    (bob,) = [one for one in json.loads(done.stdout) if one["sender"] == "bob@example.org"]
    assert (bob["id"], bob["size"], bob["expired"], bob["files"][0]["name"]) == (OTHER[:8], 2000, False, "one.bin")
    assert OTHER not in done.output


def test_list_of_nothing(place: Place, run: Any) -> None:
    """An empty store is one line."""
    assert run("list").output == "0 downloads, 0 files, 0 bytes\n"


def test_list_names_what_it_cannot_read(place: Place, run: Any) -> None:
    """A record that can't be read makes the status 1; the others are shown."""
    fill(place)
    if place.kind == "local":
        Path(place.policy.store_path, "records", f"{ID}.json").write_bytes(b"")
    else:
        place.store.bucket.put(f"records/{ID}.json", b"", {})
    done = run("list", status=1)
    assert "not a readable record" in done.output
    assert OTHER[:8] in done.output


@pytest.mark.parametrize("asked", ["@straße.example", "@xn--strae-oqa.example", "ANN@Straße.example"])
@pytest.mark.parametrize("domain", ["straße.example", "xn--strae-oqa.example"])
def test_a_sender_is_found_whichever_way_the_domain_is_written(asked: str, domain: str) -> None:
    """--sender finds a domain in another script by either of its forms."""
    found = list(
        listing.select([record(sender=f"ann@{domain}", one=b"x")], downloads._wanted([asked], 0, 0, False), 9e9)
    )
    assert len(found) == 1


def test_the_table_fits_whatever_senders_write() -> None:
    """Long and hostile addresses stay within their column, controls are shown as such."""
    long = record(sender="a" * 200 + "@example.org", one=b"x")
    hostile = record(sender="\x1b[31m\r\n@example.org", files={f"f{number}": b"" for number in range(12345)})
    lines = list(listing.table([long, hostile], 0))
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    assert lines[1].endswith("    1    1 bytes")
    assert lines[2].endswith("12345    0 bytes")


def test_a_thousand_are_ordered_and_summed() -> None:
    """A long list has its header, one line each, and its totals."""
    many = [record(f"{number:032}".translate(str.maketrans("0189", "abcd")), created=number) for number in range(1000)]
    lines = list(listing.table(listing.ordered(many, "created"), 0))
    assert len(lines) == 1002
    assert lines[-1] == "1000 downloads, 0 files, 0 bytes"
    assert [one.created for one in listing.ordered(many, "created")] == list(range(999, -1, -1))


def test_no_condition_selects_everything() -> None:
    """Without conditions all are wanted; a size of zero is a condition."""
    assert Filter().is_everything
    assert not Filter(larger_than=0).is_everything


def test_show(place: Place, run: Any) -> None:
    """All that is known of one, with its links, by what the log shows or by a link."""
    fill(place)
    page = place.keeper.describe(place.keeper.record(ID)).url
    for given in (ID[:8], ID, page):
        text = run("show", given).output
        assert page in text
        assert "one.bin, 10 bytes" in text
        assert "alice@example.org" in text
    values = json.loads(run("show", "--json", ID[:8]).stdout)
    assert (values["id"], values["url"], values["files"][0]["size"]) == (ID, page, 10)


@pytest.mark.parametrize("command", [["show"], ["revoke"], ["extend", "--by", "1d"]])
def test_what_is_not_there(place: Place, run: Any, command: list[str]) -> None:
    """An id that is not here is an error, and nothing happens."""
    fill(place)
    before = place.everything()
    for given in ("zzzzzzzz", "a", "d" * 32):
        with pytest.raises(StoreError, match="is not the id of a download here"):
            run(*command, given)
    assert place.everything() == before


# --- extend, revoke


def test_extend(place: Place, run: Any, tmp_path: Path) -> None:
    """A later date is promised, by a time or a date, to the end of its day; it is logged."""
    fill(place)
    before = place.keeper.record(ID).until
    assert "extended download aaaaaaaa to " in run("extend", "--by", "2d", ID[:8]).output
    until = place.keeper.record(ID).until
    assert before + 2 * DAY <= until < before + 3 * DAY
    assert time.strftime("%H:%M:%S", time.gmtime(until)) == "23:59:59"
    assert "to 2039-01-31 23:59 UTC" in run("extend", "--until", "2039-01-31", ID[:8], OTHER[:8]).output
    assert "to 2039-02-01 23:59 UTC" in run("extend", "--until", "2039-02-01T12:00+02:00", ID).output
    assert [event["event"] for event in events(tmp_path)] == ["extended"] * 4
    assert ID not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "arguments", [[], [ID], ["--by", "1d"], ["--by", "1d", "--until", "2039-01-01", ID], ["--until", "soon", ID]]
)
def test_extend_without_sense(place: Place, run: Any, arguments: list[str]) -> None:
    """What is no date, or two, or for nobody, is a wrong command line."""
    with pytest.raises(UsageError):
        run("extend", *arguments)


def test_revoke_by_id(place: Place, run: Any, tmp_path: Path) -> None:
    """Downloads that are named go at once, and are logged by the beginnings of their ids."""
    fill(place)
    assert "removed download aaaaaaaa\nremoved download bbbbbbbb\n" in run("revoke", ID, OTHER[:8], ID[:8]).output
    assert place.live() == [THIRD]
    (event,) = events(tmp_path)
    assert (event["event"], event["downloads"]) == ("revoked", "aaaaaaaa, bbbbbbbb")


def test_revoke_by_condition(place: Place, run: Any) -> None:
    """What meets all conditions goes, if a person says yes."""
    fill(place)
    with pytest.raises(UsageError, match="no terminal to ask on"):
        run("revoke", "--sender", "@example.org")
    assert len(place.live()) == 3
    run("revoke", "--sender", "@example.org", "--older-than", "3d", "--yes")
    assert place.live() == [OTHER, THIRD]
    assert run("revoke", "--sender", "nobody@example.org", "--yes").output == "no downloads meet these conditions\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", 2), ("n\n", 3), ("", 3)])
def test_revoke_asks(place: Place, run: Any, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    """It shows what would go, and asks; nothing goes without a yes."""
    fill(place)
    monkeypatch.setattr("pfilter.cli.downloads._is_person", lambda: True)
    done = run("revoke", "--expired", answer=answer, status=0 if left == 2 else 1)
    assert THIRD[:8] in done.output
    assert len(place.live()) == left


@pytest.mark.parametrize("arguments", [[], ["--yes"], [ID, "--expired"]])
def test_revoke_without_sense(place: Place, run: Any, arguments: list[str]) -> None:
    """Neither ids nor conditions, or both: nothing goes by mistake."""
    fill(place)
    with pytest.raises(UsageError):
        run("revoke", *arguments)
    assert len(place.live()) == 3


# --- rescan


def with_clamd(tmp_path: Path, socket: str) -> None:
    """Configure where clamd listens."""
    file = tmp_path / "pfilter.toml"
    file.write_text(file.read_text() + f'[clamav]\nsocket = "{socket}"\ntimeout = "10s"\n')


def test_rescan_takes_down_what_is_infected_by_now(place: Place, run: Any, scanner: str, tmp_path: Path) -> None:
    """Every download with an infected file goes, the others stay; it is said, logged, and done once."""
    with_clamd(tmp_path, scanner)
    until = int(time.time()) + DAY
    place.save(ID, until=until, clean=b"clean", bad=EICAR)
    place.save(OTHER, until=until, clean=b"clean")
    place.save(THIRD, until=until, worse=EICAR)
    text = run("rescan").output
    assert "infected: aaaaaaaa bad: Pfilter.Test.Virus" in text
    assert "infected: cccccccc worse: Pfilter.Test.Virus" in text
    assert "2 different files: 1 clean, 2 downloads taken down" in text
    assert place.live() == [OTHER]
    (event,) = events(tmp_path)
    assert (event["event"], event["downloads"]) == ("revoked", "aaaaaaaa, cccccccc")
    assert "1 different files: 1 clean, 0 downloads taken down\n" in run("rescan").output


def test_rescan_of_some(place: Place, run: Any, scanner: str, tmp_path: Path) -> None:
    """Ids and conditions say what is asked about."""
    with_clamd(tmp_path, scanner)
    for download_id in (ID, OTHER):
        place.save(download_id, until=int(time.time()) + DAY, bad=EICAR)
    run("rescan", OTHER[:8])
    assert place.live() == [ID]
    assert "0 different files" in run("rescan", "--older-than", "3000d").output


def test_rescan_without_an_answer_takes_nothing_down(place: Place, run: Any, tmp_path: Path) -> None:
    """Who can't be asked has found nothing: all stays, and the status is 1."""
    with_clamd(tmp_path, f"{tmp_path}/none")
    place.save(until=int(time.time()) + DAY, bad=EICAR)
    assert "aaaaaaaa bad: clamd at" in run("rescan", status=1).output
    assert place.live() == [ID]


def test_rescan_without_clamd(place: Place, run: Any) -> None:
    """Without [clamav] socket there is nobody to ask."""
    with pytest.raises(ConfigError, match="socket is not set"):
        run("rescan")
