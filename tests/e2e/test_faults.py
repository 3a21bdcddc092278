"""Configuration, store or installation are broken: the message waits in the queue, and goes out once all is mended.

The instances run without Postfix's own safety net (the status filter), so that it is pfilter that keeps the mail.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import mails
from tests.e2e.conftest import PIPES, only
from tests.e2e.faults import (
    Fault,
    appended,
    configured,
    emptied,
    file_instead,
    goes_out_once,
    moved,
    owned_by_root,
    secret_of_root,
    templates,
    without_rights,
)
from tests.e2e.installed import Venv
from tests.e2e.rig import Gate
from tests.lib.support import message

EVERYWHERE: dict[str, tuple[Callable[[Gate], Fault], str]] = {
    "no configuration": (lambda gate: configured(gate, ""), "pfilter.toml: No such file or directory"),
    "syntax error": (lambda gate: configured(gate, "[policy\nown_domains = 1"), "not TOML"),
    "empty configuration": (lambda gate: configured(gate, "\n"), "own_domains is missing"),
    "misspelt key": (
        lambda gate: configured(gate, policy={"own_domain": ["example.org"]}),
        'did you mean "own_domains"?',
    ),
    "impossible value": (lambda gate: configured(gate, policy={"deadline": "1s"}), "must be longer than"),
    "no base_url": (lambda gate: configured(gate, store={"base_url": None}), "base_url is missing"),
    "configuration that nobody can read": (
        lambda gate: without_rights(gate.instance.config),
        "pfilter.toml: Permission denied",
    ),
    "no store": (lambda gate: moved(gate.store), "does not exist"),
    "unwritable store": (lambda gate: owned_by_root(gate.store), "belongs to root"),
    "unwritable downloads": (lambda gate: owned_by_root(gate.store / "downloads"), "belongs to root"),
    "unwritable records": (lambda gate: owned_by_root(gate.store / "records"), "belongs to root"),
    "a file in the way": (lambda gate: file_instead(gate.store / "blobs"), "is not a directory"),
    "unreadable secret": (lambda gate: secret_of_root(gate.store / "secret"), "secret: Permission denied"),
    "broken template": (lambda gate: templates(gate, "{% for file in %}"), "template"),
}


@pytest.mark.parametrize("name", EVERYWHERE)
def test_fault(gate: Gate, name: str) -> None:
    fault, says = EVERYWHERE[name]
    with fault(gate):
        queue_id = gate.send(mails.letter(mails.film()))
        line = gate.waits_in_queue(queue_id, says)
        assert " pfilter: " in line or "(pfilter: " in line
    goes_out_once(gate)


def test_store_is_not_needed_for_other_mail(gate: Gate) -> None:
    """A broken store holds back nothing but what has to be stored."""
    with moved(gate.store):
        gate.send(message(mails.both()))
        gate.send(mails.letter(mails.table()))
        plain, zipped = sorted(gate.settle(), key=lambda one: len(one.raw))
    assert plain.files == {}
    assert list(zipped.files) == ["list.csv.zip"]


def break_module(venv: Venv, name: str) -> Fault:
    return appended(venv.packages / "pfilter" / name, "this is no Python\n")


def command(venv: Venv, layout: str) -> Path:
    """Return what Postfix runs."""
    return venv.lmtp if layout == "lmtp" else venv.pipe


NOT_RUN = "not run"  # what Postfix says then
INSTALLATIONS: dict[str, tuple[Callable[[Venv, str], Fault], str]] = {
    "package gone": (lambda venv, layout: moved(venv.packages / "pfilter"), "No module named 'pfilter'"),
    "module gone": (
        lambda venv, layout: moved(venv.packages / "pfilter" / "pipeline.py"),
        "cannot import name 'pipeline'",
    ),
    "package with a syntax error": (
        lambda venv, layout: break_module(venv, "lmtp/door.py" if layout == "lmtp" else "pipe.py"),
        "SyntaxError",
    ),
    "stage with a syntax error": (lambda venv, layout: break_module(venv, "rewriting/execute.py"), "SyntaxError"),
    "empty module": (lambda venv, layout: emptied(venv.packages / "pfilter/message/scan.py"), "ImportError"),
    "no template engine": (lambda venv, layout: moved(venv.packages / "minijinja"), "No module named 'minijinja'"),
    "no decoder of names": (lambda venv, layout: moved(venv.packages / "mailparser"), "No module named 'mailparser'"),
    "template gone": (lambda venv, layout: moved(venv.packages / "pfilter" / "templates" / "notice.txt"), "notice.txt"),
    "interpreter gone": (lambda venv, layout: moved(venv.path / "bin" / "python"), NOT_RUN),
    "command gone": (lambda venv, layout: moved(command(venv, layout)), NOT_RUN),
    "command not executable": (lambda venv, layout: without_rights(command(venv, layout), 0o644), NOT_RUN),
}


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_broken_installation(gate: Gate, broken: Venv, name: str) -> None:
    fault, says = INSTALLATIONS[name]
    film = mails.film().replace(b'"film.mp4"', b'"=?utf-8?Q?film=2Emp4?="')
    if says == NOT_RUN:
        says = "while receiving the initial server greeting" if gate.layout == "lmtp" else "temporary failure"
    with fault(broken, gate.layout):
        gate.instance.use(broken.path)
        queue_id = gate.send(mails.letter(film))
        gate.waits_in_queue(queue_id, says)
    goes_out_once(gate)


def test_without_a_log_library_mail_goes_on(gate: Gate, broken: Venv) -> None:
    """What is not needed for the message does not hold it up."""
    with moved(broken.packages / "structlog"):
        gate.instance.use(broken.path)
        queue_id = gate.send(mails.letter(mails.film()))
        assert gate.linked(gate.delivered()) == {"film.mp4": mails.FILM}
        assert gate.line(queue_id).startswith("1 linked")
    assert gate.events() == []


@only(*PIPES)
def test_exit_1_bounces_here(gate: Gate) -> None:
    """The control: these instances have no other net, a filter that just fails loses mail to its sender."""
    folder = gate.root / "bin"
    folder.mkdir()
    (folder / "pfilter-pipe").write_text("#!/bin/sh\ncat >/dev/null; echo Traceback; exit 1\n")
    (folder / "pfilter-pipe").chmod(0o755)
    gate.instance.use(gate.root)
    gate.send(mails.letter(mails.film()))
    (bounce,) = gate.settle()
    assert bounce.sender == ""
    assert bounce.message.get_content_type() == "multipart/report"
