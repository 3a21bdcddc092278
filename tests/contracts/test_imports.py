"""Imports go downward, and a message pays only for what it needs."""

import ast
import importlib
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pfilter.config.settings import HELD_BACK
from tests.lib import support
from tests.lib.smtp_server import Server
from tests.lib.support import PROJECT, Gateway

PACKAGE = PROJECT / "pfilter"

# A module imports from its own group, or from groups below. Groups of one line do not know each other.
RANKS = (
    ("launcher", "lmtp_launcher"),
    ("pipe", "lmtp", "cli"),
    ("run", "setup"),
    ("pipeline", "check", "report"),
    ("rewriting", "delivery"),
    ("notices", "web", "events"),
    ("decision", "antivirus", "store", "ledger"),
    ("message", "config"),
    ("base",),
)
RANK = {group: rank for rank, groups in enumerate(RANKS) for group in groups}
COMMANDS = ("__init__", "downloads", "maintenance", "message", "options", "quarantine", "web")
ONLY_IMPORTERS = {
    "mailparser": {"message.decoded"},
    "structlog": {"base.structlog_loader"},
    "typer": {f"cli.{name}" for name in COMMANDS},
    "obstore": {"store.s3"},
    "minijinja": {"notices.templates", "web.server_config"},
    "starlette": {"web.app"},
    "uvicorn": {"web.connection"},
    "h11": {"web.connection"},
    "http": {"web.client", "web.check"},
    "tomllib": {"config.load"},
    "pybase64": {"message.codec"},
    "deflate": {"base.zipping"},
    "idna": {"base.idn"},
    "socket": {"web.gate", "web.serve"},
    "_socket": {"base.sockets"},
    "email": set(),
    "subprocess": set(),
    "smtplib": set(),
    "dataclasses": set(),
    "mmap": set(),
}


def sources() -> dict[str, ast.Module]:
    """Return the parsed modules of the package by name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.AST, *, typing_too: bool = False) -> set[str]:
    """Return the full names of what a module imports, anywhere in it; what only type checkers see left out."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_too:
            for other in node.orelse:
                found |= imported(ast.Module([other], []))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            found |= imported(node, typing_too=typing_too)
    return found


def own(names: set[str], modules: "dict[str, ast.Module]") -> set[str]:
    """Return the modules of the package among what is imported."""
    found = set()
    for name in names:
        if name.startswith("pfilter."):
            rest = name.removeprefix("pfilter.")
            candidates = [rest, rest.rpartition(".")[0]]
            found |= {candidate for candidate in candidates[:1] if candidate in modules} or {
                candidate for candidate in candidates[1:] if candidate in modules
            }
    return found


def group_of(module: str) -> str:
    """Return the group of a module; one that stands beside the groups is its own."""
    return module.partition(".")[0]


MODULES = sources()
BESIDE = "__init__"  # the version, for everybody


@pytest.mark.parametrize("module", [name for name in MODULES if name != BESIDE])
def test_imports_go_downward(module: str) -> None:
    """A module imports from its own group or from one of lower rank, also inside of functions."""
    upward = {
        (module, other)
        for other in own(imported(MODULES[module]), MODULES) - {BESIDE}
        if group_of(other) != group_of(module) and RANK[group_of(other)] <= RANK[group_of(module)]
    }
    assert upward == set()


@pytest.mark.parametrize("group", sorted({group_of(name) for name in MODULES}))
def test_no_circle_within_a_group(group: str) -> None:
    """Inside a group there is an order, too."""
    names = [name for name in MODULES if group_of(name) == group]
    graph = {name: own(imported(MODULES[name]), MODULES) & set(names) for name in names}
    assert sorted(TopologicalSorter(graph).static_order()) == sorted(names)


@pytest.mark.parametrize(("package", "importers"), ONLY_IMPORTERS.items(), ids=ONLY_IMPORTERS)
def test_only_one_importer(package: str, importers: set[str]) -> None:
    """What is expensive, or replaced some day, has one importer."""
    found = {name for name, tree in MODULES.items() if any(i.split(".")[0] == package for i in imported(tree))}
    assert found <= importers
    assert found or not importers


@pytest.mark.parametrize(("launcher", "door"), [("launcher", "pipe"), ("lmtp_launcher", "lmtp.door")])
def test_the_launchers_stand_on_the_standard_library(launcher: str, door: str) -> None:
    """A launcher imports nothing of ours but the door itself, inside of its net."""
    names = imported(MODULES[launcher])
    assert {name.split(".")[0] for name in names} - {"pfilter"} <= set(sys.stdlib_module_names)
    assert {name for name in names if name.startswith("pfilter")} == {f"pfilter.{door}.main"}
    assert os.access(PACKAGE / f"{launcher}.py", os.X_OK)  # as it is installed


# --- What a message pays for

LOADED = """
import sys
before = set(sys.modules)
import pfilter.config.cache
if sys.argv[1] == "keep":
    pfilter.config.cache.LEAST_AGE = -1
from pfilter.pipe import main
status, line = main([argument.encode() for argument in sys.argv[2:]])
assert status == 0, line
print(line)
print(*sorted(set(sys.modules) - before))
"""
EXPENSIVE = (
    "typer",
    "click",
    "structlog",
    "mailparser",
    "minijinja",
    "email",
    "subprocess",
    "tempfile",
    "pathlib",
    "dataclasses",
    "typing",
    "re",
    "inspect",
    "json",
    "hashlib",
    "hmac",
    "socket",
    "logging",
    "argparse",
    "datetime",
    "random",
    "shutil",
    "urllib",
    "enum",
    "signal",
    "zipfile",
    "tomllib",
    "ipaddress",
    "difflib",
    "pybase64",
    "deflate",
    "contextlib",
    "collections",
    "asyncio",
    "idna",
    "unicodedata",
    "stringprep",
)
# Small, but not free.
FOR_OTHERS = tuple(f"pfilter.base.{name}" for name in ("catalogue", "filetypes", "scratch_file", "text"))


def loaded(gateway: Gateway, data: bytes, what: str = "measure") -> tuple[str, set[str]]:
    """Return the line for Postfix, and the modules that a message's way through the door loads."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOADED, what, *gateway.argv()],
        input=data,
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
    )
    line, modules = done.stdout.decode("utf-8").splitlines()
    return line, set(modules.split())


@pytest.fixture
def warm(gateway: Gateway) -> Gateway:
    """Return a gateway whose configuration is kept already."""
    gateway.configure(log='to = "syslog"\nlevel = "info"')
    loaded(gateway, support.message(support.part(b"Hello\n")), "keep")
    return gateway


def test_a_message_that_passes_loads_little(warm: Gateway) -> None:
    """A small message that needs nothing imports none of what is expensive."""
    data = support.message(support.multipart("alternative", support.part(b"Hi\n"), support.part(b"<p>Hi", "text/html")))
    line, modules = loaded(warm, data)
    assert line == "passed (no attachments)"
    assert {name.split(".")[0] for name in modules} & set(EXPENSIVE) == set()
    assert modules & set(FOR_OTHERS) == set()


@pytest.mark.parametrize("domain", ["example.org", "xn--strae-oqa.example"])
def test_domains_of_other_scripts_cost_ascii_nothing(gateway: Gateway, domain: str) -> None:
    """A message from an ASCII domain does not pay for patterns that are not ASCII: they were converted when read."""
    policy = f'own_domains = ["straße.example", "{domain}"]\nexempt_senders = ["jürgen@bücher.example"]'
    gateway.configure(policy=policy, log='to = "syslog"\nlevel = "info"')
    data = support.message(support.part(b"Hello\n"))
    loaded(gateway, data, "keep")
    line, modules = loaded(gateway, data)
    assert line.startswith("passed")
    assert modules & {"idna", "unicodedata", "encodings.idna", "encodings.punycode", "tomllib"} == set()


def test_notifications_that_wait_cost_a_message_nothing(gateway: Gateway) -> None:
    """While something is held back and not yet due, a message that passes loads nothing for it, nor opens it."""
    gateway.configure(notify="sender = true", log='to = "syslog"\nlevel = "info"')
    data = support.message(support.part(b"Hello\n"))
    loaded(gateway, data, "keep")
    notices = gateway.store / HELD_BACK
    notices.write_text("{}")
    os.utime(notices, (0, 2**31 - 1))
    _, modules = loaded(gateway, data)
    assert (
        modules & {"pfilter.store", "pfilter.delivery.heldback", "pfilter.delivery.notification", "json", "re"} == set()
    )
    os.utime(notices, (0, 0))
    _, modules = loaded(gateway, data)
    assert "pfilter.delivery.heldback" in modules


def test_the_way_back_by_smtp_loads_little(gateway: Gateway) -> None:
    """Handing a message over by SMTP takes no more modules than by sendmail does, but for the connection's own."""
    data = support.message(support.part(b"Hello\n"))
    server = Server()
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"', log='to = "syslog"\nlevel = "info"')
    for what in ("keep", "keep", "measure"):
        line, modules = loaded(gateway, data, what)
        server.stop()
        assert server.accepted
        server = Server(address=server.address)
    assert line == "passed (no attachments)"
    assert {name.split(".")[0] for name in modules} & set(EXPENSIVE) == set()
    assert modules & set(FOR_OTHERS) == set()
    assert "_socket" in modules


BY_LMTP = """
import sys
before = set(sys.modules)
from pfilter.lmtp.door import main
status = main([sys.argv[1].encode()], 0, 1, sys.argv[0])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""


def test_the_first_message_by_lmtp_loads_little(gateway: Gateway) -> None:
    """On a quiet gateway each message pays for a process: one that needs nothing imports none of what is expensive."""
    server = Server()
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"', log='to = "syslog"\nlevel = "info"')
    loaded(gateway, support.message(support.part(b"Hello\n")), "keep")
    server.stop()
    server = Server(address=server.address)
    data = support.message(support.multipart("alternative", support.part(b"Hi\n"), support.part(b"<p>Hi", "text/html")))
    envelope = b"MAIL FROM:<sender@example.org>\r\nRCPT TO:<reader@example.net>\r\nDATA\r\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", BY_LMTP, f"--config={gateway.config}"],
        input=b"LHLO here\r\n" + envelope + support.crlf(data) + b".\r\nQUIT\r\n",
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
    )
    server.stop()
    assert b"\n250 2.0.0 passed (no attachments)\r\n" in done.stdout
    modules = set(done.stderr.decode().split())
    assert {name.split(".")[0] for name in modules} & set(EXPENSIVE) == set()
    assert modules & set(FOR_OTHERS) <= {"pfilter.base.text"}


def test_a_message_with_a_small_attachment_loads_no_packages(warm: Gateway) -> None:
    """Measuring a small attachment with a plain name needs none of the packages."""
    data = support.message(support.multipart("mixed", support.part(b"Hi\n"), support.attachment(b"x", "a.bin")))
    line, modules = loaded(warm, data)
    assert line == "passed (nothing to gain)"
    packages = {
        "typer",
        "click",
        "structlog",
        "mailparser",
        "minijinja",
        "email",
        "subprocess",
        "tempfile",
        "dataclasses",
    }
    assert {name.split(".")[0] for name in modules} & packages == set()


def test_a_linked_attachment_loads_no_more_than_it_needs(warm: Gateway) -> None:
    """A message with a link needs the templates and the log, but neither typer nor, for a plain name, mail-parser."""
    data = support.message(
        support.multipart("mixed", support.part(b"Hi\n"), support.attachment(support.noise(900_000)))
    )
    line, modules = loaded(warm, data)
    assert line.startswith("1 linked")
    assert {name.split(".")[0] for name in modules} & {"typer", "click", "rich", "mailparser", "asyncio"} == set()


PLACING = {f"pfilter.rewriting.{name}" for name in ("placing", "body_text", "history")}
PLACING_IN_HTML = {f"pfilter.rewriting.{name}" for name in ("body_html", "history_html", "visible")}


def test_only_where_a_notice_goes_its_place_is_looked_for(warm: Gateway) -> None:
    """A message that is zipped needs no place; one with a link and a text alone needs nothing that reads HTML."""
    hello = support.part(b"Hi\n")
    zipped = support.message(support.multipart("mixed", hello, support.attachment(b"1, 2, 3\n" * 9000, "a.csv")))
    line, modules = loaded(warm, zipped)
    assert line.startswith("1 zipped")
    assert modules & (PLACING | PLACING_IN_HTML) == set()
    film = support.attachment(support.noise(900_000))
    line, modules = loaded(warm, support.message(support.multipart("mixed", hello, film)))
    assert line.startswith("1 linked")
    assert modules & (PLACING | PLACING_IN_HTML | {"html"}) == PLACING
    html = support.part(b"<p>Hi&nbsp;&amp;", "text/html")
    both = support.multipart("alternative", hello, html, boundary="inner")
    line, modules = loaded(warm, support.message(support.multipart("mixed", both, film)))
    assert line.startswith("1 linked")
    assert modules & (PLACING | PLACING_IN_HTML | {"html"}) == PLACING | PLACING_IN_HTML


@pytest.mark.parametrize("name", ["placing", "history", "history_text", "history_html"])
def test_looking_for_the_place_makes_patterns_only_where_their_words_are(name: str) -> None:
    """To import what knows replies in many languages makes no pattern of any: one process handles one message."""
    module = importlib.import_module(f"pfilter.rewriting.{name}")
    assert [key for key, value in vars(module).items() if isinstance(value, re.Pattern)] == []


OPENED = """
import os, sys
opened = []
def hear(event, given):
    # O_PATH opens no file; root looks so at the way to the store.
    if event == "os.listdir" or event == "open" and not (given[2] or 0) & os.O_PATH:
        opened.append(str(given[0]))
sys.addaudithook(hear)
from pfilter.pipe import main
status, line = main([argument.encode() for argument in sys.argv[1:]])
assert status == 0, line
print(*(os.path.realpath(name) for name in opened if not name.isdigit()), sep="\\n")
"""


def test_a_message_that_passes_opens_only_its_configuration(warm: Gateway) -> None:
    """A small message that needs nothing opens its configuration and what is kept of it, and looks at its parent."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", OPENED, *warm.argv()],
        input=support.message(support.part(b"Hello\n")),
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)},
    )
    opened = {name for name in done.stdout.decode().splitlines() if not name.endswith((".py", ".pyc"))}
    folders = {name for name in opened if Path(name).is_dir()}  # looked through for code
    store = warm.store.resolve()
    assert not {name for name in folders if Path(name).is_relative_to(store)}
    assert opened - folders == {str(warm.config.resolve()), str(store / "config.cache"), f"/proc/{os.getpid()}/stat"}


def test_the_package_has_no_stray_files() -> None:
    """Everything in the package is a module, a template, a message catalogue or the typing marker."""
    strays = [
        path
        for path in PACKAGE.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc", ".txt", ".html", ".j2", ".po", ".pot", ".mo")
        and path.name != "py.typed"
    ]
    assert strays == []
