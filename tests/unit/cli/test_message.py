"""The door for people and cron: commands, their output, and exit statuses."""

import os
from pathlib import Path

import pytest

from tests.lib import support
from tests.lib.command import pfilter, without_traceback
from tests.lib.support import BASE_URL, Gateway, attachment, message, multipart, noise, part, table

MIXED = message(
    multipart("mixed", part(b"Hello\n"), attachment(noise(900_000), "big.bin"), attachment(table(), "list.csv"))
)
PLAIN = message(part(b"Hello\n"))


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
