"""The door for people and cron: commands, their output, and exit statuses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lib import support
from tests.lib.support import BASE_URL, PROJECT, Gateway, attachment, message, multipart, noise, part, table

MIXED = message(
    multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin"), attachment(table(), "list.csv"))
)
PLAIN = message(part(b"Hello\n"))


def pfilter(*arguments: str, data: bytes = b"", config: str = "") -> "subprocess.CompletedProcess[bytes]":
    """Run the command."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
    if config:
        environment["PFILTER_CONFIG"] = config
    command = [sys.executable, "-P", "-m", "pfilter.cli", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=False, env=environment)


def without_traceback(done: "subprocess.CompletedProcess[bytes]", status: int) -> str:
    """Assert an exit status, and an error for people on stderr alone; return it."""
    said = done.stderr.decode("utf-8")
    assert (done.returncode, done.stdout) == (status, b""), (done, said)
    assert "Traceback" not in said
    return said


# --- filter


def test_filter_with_a_configuration(gateway: Gateway) -> None:
    """Message in, transformed message out; what was done is said on stderr; nobody is notified, nothing sent."""
    gateway.configure(notify="sender = true")
    done = pfilter("filter", "--config", str(gateway.config), data=MIXED)
    assert done.returncode == 0
    assert support.attachment_names(done.stdout) == ["list.csv.zip"]
    assert b"1 linked, 1 zipped" in done.stderr
    assert gateway.calls == []


def test_filter_reads_a_file(tmp_path: Path) -> None:
    """FILE is read; - or nothing is stdin; the result is the same."""
    (tmp_path / "m.eml").write_bytes(MIXED)
    outputs = {
        pfilter("filter", str(tmp_path / "m.eml")).stdout,
        pfilter("filter", "-", data=MIXED).stdout,
        pfilter("filter", data=MIXED).stdout,
    }
    assert len(outputs) == 1


def test_filter_without_a_configuration() -> None:
    """Without a configuration the defaults apply, without links, and that is said."""
    done = pfilter("filter", data=MIXED)
    assert support.attachment_names(done.stdout) == ["big.bin", "list.csv.zip"]
    assert b"no configuration file" in done.stderr
    assert b"no links" in done.stderr


def test_filter_with_store_and_base_url(tmp_path: Path) -> None:
    """With --store and --base-url there are links without a configuration."""
    store = tmp_path / "s"
    done = pfilter("filter", "--store", str(store), "--base-url", BASE_URL, data=MIXED)
    assert support.attachment_names(done.stdout) == ["list.csv.zip"]
    assert len(list(store.glob("downloads/*/files/big.bin"))) == 1


def test_filter_passes_octets(gateway: Gateway) -> None:
    """What needs nothing comes out byte for byte."""
    odd = b"Subject: x\r\n\r\n\0\xff\n.\nno end"
    assert pfilter("filter", "--config", str(gateway.config), data=odd).stdout == odd


def test_filter_uses_the_envelope_given(gateway: Gateway) -> None:
    """--sender and --recipient decide as the envelope does."""
    base = ["filter", "--config", str(gateway.config)]
    assert pfilter(*base, "--sender", "a@elsewhere.example", data=MIXED).stdout == MIXED
    many = [word for number in range(30) for word in ("--recipient", f"r{number}@example.net")]
    small = message(multipart("mixed", part(b"Hi\n"), attachment(noise(100_000), "a.bin")))
    assert pfilter(*base, data=small).stdout == small
    assert b"1 linked" in pfilter(*base, *many, data=small).stderr


def test_the_sender_is_that_of_the_header_by_default(gateway: Gateway) -> None:
    """Without --sender the address in From counts."""
    foreign = MIXED.replace(b"sender@example.org", b"sender@elsewhere.example")
    assert pfilter("filter", "--config", str(gateway.config), data=foreign).stdout == foreign


def test_the_null_sender_is_asked_for(gateway: Gateway) -> None:
    """--sender '' is the null sender."""
    done = pfilter("filter", "--config", str(gateway.config), "--sender", "", data=MIXED)
    assert b"2 stripped" in done.stderr


# --- explain


def test_explain_says_what_would_happen_and_does_nothing(gateway: Gateway) -> None:
    """Explain shows each part, what would happen to it and why, and leaves no trace."""
    done = pfilter("explain", "--config", str(gateway.config), data=MIXED)
    text = done.stdout.decode("utf-8")
    assert done.returncode == 0
    for word in (
        "Figures",
        "big.bin",
        "becomes a link",
        "over part_limit of 800 KiB",
        "list.csv",
        "is zipped",
        "gains",
        "body",
    ):
        assert word in text
    assert [path.name for path in gateway.store.rglob("*") if path.is_file()] == []


def test_explain_json(gateway: Gateway) -> None:
    """--json prints the same as data."""
    told = json.loads(pfilter("explain", "--json", "--config", str(gateway.config), data=MIXED).stdout)
    assert [(p["section"], p["type"], p["name"], p["action"]) for p in told["parts"]] == [
        ("", "multipart/mixed", "", ""),
        ("1", "text/plain", "", ""),
        ("2", "application/octet-stream", "big.bin", "link"),
        ("3", "application/octet-stream", "list.csv", "zip"),
    ]
    assert told["changes"] is True
    assert told["subject"] == "Figures"


@pytest.mark.parametrize(
    ("data", "sender", "reason"),
    [
        (PLAIN, "a@example.org", "no attachments"),
        (MIXED, "a@elsewhere.example", "foreign sender"),
        (MIXED.replace(b"MIME-Version", b"no field\nMIME-Version"), "a@example.org", "ambiguous: header ended"),
    ],
)
def test_explain_says_why_nothing_would_happen(gateway: Gateway, data: bytes, sender: str, reason: str) -> None:
    """Explain gives the reason why a message passes."""
    text = pfilter("explain", "--config", str(gateway.config), "--sender", sender, data=data).stdout.decode("utf-8")
    assert f"would pass untouched: {reason}" in text


def test_explain_warns_of_a_signature_that_would_break(gateway: Gateway) -> None:
    """Explain says that a signature of our own would break, and what to do, as a warning."""
    data = b"DKIM-Signature: v=1; d=example.org; b=x\n" + MIXED
    text = pfilter("explain", "--config", str(gateway.config), "--sender", "a@example.org", data=data).stdout.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("Warning: ")]
    assert "sign after this filter" in line


def test_explain_says_that_it_observes(gateway: Gateway) -> None:
    """In observe mode explain says what would be done, and that it is not done."""
    gateway.configure(policy='mode = "observe"')
    assert b"observe mode" in pfilter("explain", "--config", str(gateway.config), data=MIXED).stdout


def test_explain_shows_no_controls(gateway: Gateway) -> None:
    """Nothing in a message moves the cursor of who looks at it."""
    data = MIXED.replace(b"Figures", b"=?utf-8?q?a=1B[31mb=0Ac?=").replace(b"big.bin", b"=?utf-8?q?x=1B[1m=0Ay.bin?=")
    for hostile in (data, MIXED.replace(b"Figures", b"a\x1b[31mb\xc2\x9bc")):
        text = pfilter("explain", "--config", str(gateway.config), data=hostile).stdout.decode("utf-8")
        assert all(c.isprintable() or c == "\n" for c in text)


# --- expire and revoke


def stored(gateway: Gateway, keep: str = "7d", grace: str = "7d") -> str:
    """Send a message with a link; return its id."""
    gateway.configure(store=f'keep = "{keep}"\ngrace = "{grace}"')
    gateway.pipe(MIXED)
    (download,) = (gateway.store / "downloads").glob("*/")
    return download.name


def test_expire_removes_what_is_over(gateway: Gateway) -> None:
    """Keep = "1s" and grace = "0s": a moment later all is gone, and what was freed is said."""
    download = stored(gateway, "1s", "0s")
    time.sleep(2.1)
    done = pfilter("expire", "--config", str(gateway.config))
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"removed download {download[:8]}".encode() in done.stdout
    assert b"freed 90" in done.stdout or b"freed 9" in done.stdout
    assert list((gateway.store / "downloads").glob("*/")) == []
    assert [path for path in (gateway.store / "blobs").rglob("*") if path.is_file()] == []


def test_expire_says_nothing_where_nothing_is_over(gateway: Gateway) -> None:
    """Cron mails output: where nothing is to be done there is none."""
    stored(gateway)
    done = pfilter("expire", "--config", str(gateway.config))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_expire_dry_run(gateway: Gateway) -> None:
    """--dry-run says what would be removed, and removes nothing."""
    download = stored(gateway, "1s", "0s")
    time.sleep(2.1)
    done = pfilter("expire", "--dry-run", "--config", str(gateway.config))
    assert f"would remove download {download[:8]}".encode() in done.stdout
    assert (gateway.store / "downloads" / download / "files" / "big.bin").exists()


def test_expire_names_what_it_cannot_read(gateway: Gateway) -> None:
    """A record that can't be read is kept, named on stderr, and makes the exit status 1."""
    download = stored(gateway)
    (gateway.store / "records" / f"{download}.json").write_bytes(b"")
    done = pfilter("expire", "--config", str(gateway.config))
    assert done.returncode == 1
    assert download[:8].encode() in done.stderr
    assert (gateway.store / "downloads" / download / "files" / "big.bin").exists()


@pytest.mark.parametrize("form", ["id", "prefix", "link"])
def test_revoke(gateway: Gateway, form: str) -> None:
    """A download is taken down at once by its id, the beginning of it as the log has it, or its link."""
    download = stored(gateway)
    given = {"id": download, "prefix": download[:8], "link": f"{BASE_URL}/{download}/"}[form]
    done = pfilter("downloads", "revoke", "--config", str(gateway.config), given)
    assert done.returncode == 0
    assert list((gateway.store / "downloads").glob("*/")) == []


def test_revoke_of_nothing(gateway: Gateway) -> None:
    """An id that is not here is an error."""
    assert "not the id" in without_traceback(
        pfilter("downloads", "revoke", "--config", str(gateway.config), "a" * 32), 1
    )


def test_a_missing_store_is_an_error(gateway: Gateway) -> None:
    """Expire without its store says so."""
    gateway.store.rmdir()
    assert "does not exist" in without_traceback(pfilter("expire", "--config", str(gateway.config)), 1)


# --- check


def test_check_of_what_works(gateway: Gateway) -> None:
    """Check says of everything that it works."""
    if os.geteuid() == 0:
        os.chown(gateway.store, 65534, 65534)
        for directory in gateway.root.parents:
            if directory.name.startswith("pytest-") or directory.name.startswith("popen-"):
                directory.chmod(directory.stat().st_mode | 0o011)
        gateway.root.chmod(0o755)
        gateway.log.touch()
        gateway.log.chmod(0o666)
    done = pfilter("check", "--config", str(gateway.config))
    text = done.stdout.decode("utf-8")
    assert "error " not in text, text
    assert done.returncode == 0
    assert text.count("\nok ") >= 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"store": 'path = "/nonexistent"'}, "does not exist"),
        ({"reinject": 'sendmail = "/nonexistent/sendmail"'}, "/nonexistent/sendmail"),
        ({"reinject": 'method = "smtp"\nsmtp = "127.0.0.1:1"'}, "127.0.0.1:1"),
        ({"log": 'to = "file:/nonexistent/log"'}, "/nonexistent/log"),
        ({"notice": 'templates = "/nonexistent"'}, "no such directory"),
        ({"store": 'min_free = "1000 TiB"'}, "less free space"),
    ],
    ids=["store", "sendmail", "smtp", "log", "templates", "room"],
)
def test_check_finds_what_does_not_work(gateway: Gateway, change: dict[str, str], word: str) -> None:
    """Check names what mail would fail for, and its exit status is 1."""
    gateway.configure(**change)
    done = pfilter("check", "--config", str(gateway.config))
    errors = [line for line in done.stdout.decode("utf-8").splitlines() if line.startswith("error")]
    assert any(word in line for line in errors), done.stdout
    assert done.returncode == 1


def test_check_finds_a_store_that_is_open_to_all(gateway: Gateway) -> None:
    """A store that anybody can write is an error."""
    gateway.store.chmod(0o777)
    done = pfilter("check", "--config", str(gateway.config))
    assert b"can be written by others" in done.stdout
    assert done.returncode == 1


def test_check_finds_a_broken_template(gateway: Gateway, tmp_path: Path) -> None:
    """A template that would defer all mail with links is found before."""
    (tmp_path / "page.html").write_text("{% for %}")
    gateway.configure(notice=f'templates = "{tmp_path}"')
    assert b"page.html" in pfilter("check", "--config", str(gateway.config)).stdout


# --- Errors, help, where the configuration comes from


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["filter", "--unknown"],
        ["downloads", "revoke"],
        ["filter", "--store", "/tmp/x"],
        ["expire", "--config"],
        ["filter", "a", "b"],
    ],
)
def test_usage_errors_are_2(arguments: list[str]) -> None:
    """A wrong command line is exit status 2, with a hint on stderr."""
    assert without_traceback(pfilter(*arguments), 2)


@pytest.mark.parametrize("command", ["filter", "explain", "expire", "check"])
def test_a_configuration_that_cannot_be_used_is_2(gateway: Gateway, command: str) -> None:
    """An error in the configuration is exit status 2, and names file and key."""
    gateway.configure(link='part_limitt = "1 KiB"')
    said = without_traceback(pfilter(command, "--config", str(gateway.config), data=PLAIN), 2)
    assert f"pfilter: {gateway.config}: [link] part_limitt" in said


def test_a_missing_message_is_1() -> None:
    """A file that is not there is exit status 1, and named."""
    assert "/nonexistent.eml: No such file" in without_traceback(pfilter("filter", "/nonexistent.eml"), 1)


def test_a_directory_is_no_message(tmp_path: Path) -> None:
    """A directory in the place of a message is a wrong command line."""
    assert "is a directory" in without_traceback(pfilter("explain", str(tmp_path)), 2)


def test_the_configuration_of_the_environment(gateway: Gateway) -> None:
    """$PFILTER_CONFIG names the configuration; --config goes before it."""
    assert b"1 linked" in pfilter("filter", data=MIXED, config=str(gateway.config)).stderr
    said = pfilter("filter", "--config", "/nonexistent.toml", data=MIXED, config=str(gateway.config))
    assert "/nonexistent.toml" in without_traceback(said, 2)


@pytest.mark.parametrize("command", ["filter", "explain", "expire", "downloads", "check"])
def test_help_has_an_example(command: str) -> None:
    """Each command's help says what it does, with an example."""
    done = pfilter(command, "--help")
    assert done.returncode == 0
    assert f"pfilter {command}" in done.stdout.decode("utf-8").partition("Example")[2]


def test_version() -> None:
    """--version prints it."""
    from pfilter import __version__

    assert pfilter("--version").stdout.decode() == f"pfilter {__version__}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_root_becomes_the_owner_of_the_store(gateway: Gateway) -> None:
    """Commands run by root leave no file of root's in the store: it would defer all mail."""
    os.chown(gateway.store, 65534, 65534)
    for directory in [gateway.root, *gateway.root.parents]:
        if str(directory).startswith(str(gateway.root.anchor) + "tmp/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    gateway.log.touch()
    gateway.log.chmod(0o666)
    done = pfilter("filter", "--config", str(gateway.config), data=MIXED)
    assert b"1 linked" in done.stderr, done
    owners = {path.stat().st_uid for path in gateway.store.rglob("*")}
    assert owners == {65534}
