"""A private Postfix with pfilter in it (postfix/lab/private), and what tests do with it: send, wait, look.

Nothing here sleeps for a fixed time: each wait is for a condition, with a bound. "Delivered exactly once" is read when
Postfix's queue is empty: then nothing can arrive any more, so what lies at the sink is all there will ever be.
"""

import contextlib
import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.e2e.arrived import Arrived
from tests.e2e.client import LIMIT, submit
from tests.lib.support import BASE_URL, MARK, NOTICE, PROJECT, addresses, crlf, queue_size

PRIVATE = PROJECT / "postfix" / "lab" / "private"
USER = "nobody"  # whom the filter runs as
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")  # in the order in which mail goes through them
SENDER = "sender@example.org"
READER = "reader@example.net"


# Should pytest be killed, its Postfix must not run on.
GUARD = """
import os, select, shutil, subprocess, sys
pid, private, work, root = sys.argv[1:]
poll = select.poll()
poll.register(os.pidfd_open(int(pid)), select.POLLIN)
poll.poll()
subprocess.run([sys.executable, private, work, "stop"])
shutil.rmtree(root, ignore_errors=True)
"""


def wait(condition: Callable[[], Any], what: str, seconds: float = LIMIT) -> Any:
    """Return the first true answer of a condition; fail when there is none in time."""
    end = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)
    return answer


def free_ports(first: int) -> int:
    """Return the first of four free ports on loopback, from `first` on."""
    for port in range(first, first + 400, 4):
        try:
            for one in range(port, port + 4):
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", one))
        except OSError:
            continue
        return port
    raise OSError(f"no four free ports between {first} and {first + 400}")


def give(path: Path) -> None:
    """Make the filter's user the owner of a path."""
    found = pwd.getpwnam(USER)
    os.chown(path, found.pw_uid, found.pw_gid)


class Instance:
    """A running Postfix with the filter in it; its pipe command goes through a symlink, as it does on a gateway."""

    def __init__(self, root: Path, layout: str, first_port: int, venv: Path, *options: str, pipe: str = "") -> None:
        self.root = root
        self.layout = layout
        self.venv = venv
        self.work = root / "postfix"
        self.config = root / "pfilter.toml"
        self.current = root / "current"
        self.stores = itertools.count(1)
        root.mkdir(mode=0o711)
        self.current.symlink_to(venv)
        self.port = free_ports(first_port)
        program = "pfilter-lmtp" if layout == "lmtp" else "pfilter-pipe"
        command = pipe or str(self.current / "bin" / program)
        argv = ["start", "--layout", layout, "--port", str(self.port), "--user", USER, "--pipe", command]
        # A pipe(8) or a service that was killed is tried again at once, not after a minute.
        argv += ["-o", "transport_retry_time=1s", "-o", "service_throttle_time=1s"]
        done = self._private(*argv, "--config", str(self.config), *options)
        if done.returncode:
            self.stop()
            raise AssertionError(f"no private Postfix: {done.stderr[-3000:]}")
        argv = [sys.executable, "-c", GUARD, str(os.getpid()), str(PRIVATE), str(self.work), str(root)]
        self._guard = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def _private(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, str(PRIVATE), str(self.work), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=3 * LIMIT, check=False, umask=0o022)

    def run(self, *command: str) -> str:
        """Run a command in the instance's world and return its output; it must succeed."""
        done = self._private("run", "--", *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop all processes of it."""
        done = self._private("stop")
        if guard := getattr(self, "_guard", None):
            guard.kill()
            guard.wait(LIMIT)
        assert done.returncode == 0, done.stderr

    def use(self, venv: Path) -> None:
        """Point the symlink at another installation."""
        new = self.root / "next"
        new.symlink_to(venv)
        new.rename(self.current)
        # A process that handles many messages looks at the link between two of them, and every 10 s.
        for pid in self.processes("pfilter-lmtp\0"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    @property
    def sink(self) -> Path:
        """Where messages arrive."""
        return self.work / "sink"

    def log(self, start: int = 0) -> str:
        """Return Postfix's log, from an octet on."""
        with open(self.work / "maillog", "rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")

    def queue_files(self) -> list[Path]:
        """Return the files of all messages in the queue."""
        return [path for queue in QUEUES for path in (self.work / "spool" / queue).rglob("*") if path.is_file()]

    def is_settled(self) -> bool:
        """Whether the queue is empty; looked at twice, since mail moves on between the looks at two folders."""
        return not self.queue_files() and not self.queue_files()

    def processes(self, word: str) -> list[int]:
        """Return the processes of this instance that have a word in their command line; pipe(8) has our whole argv."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                inside = os.path.samefile(f"/proc/{name}/root/etc/postfix", self.work / "etc")
                command = Path(f"/proc/{name}/cmdline").read_bytes() if inside else b""
                if word.encode() in command and not command.startswith((b"pipe\0", b"spawn\0")):
                    found.append(int(name))
        return found


class Gate:
    """One test's view of an instance: a store, a configuration and an event file of its own; mail since it began."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.layout = instance.layout
        self.root = instance.root / f"test-{next(instance.stores)}"
        self.root.mkdir(mode=0o755)
        self.root.chmod(0o755)
        self.store = self.root / "store"  # as seen from here; a test may mount something over it in there
        self.store.mkdir()
        self.store.chmod(0o711)
        self.events_file = self.root / "events"
        self.events_file.touch()
        for path in (self.store, self.events_file):
            give(path)
        self._known = set(instance.sink.glob("*.json"))
        self._log_start = (instance.work / "maillog").stat().st_size
        self.trouble_expected = False  # without, a test fails at once when mail is put off
        self.sections: dict[str, dict[str, object]] = {}
        self.configure()

    # What to filter by

    def configure(self, **sections: Mapping[str, object]) -> None:
        """Write the configuration: the defaults of these tests, changed as given; None leaves a key out."""
        self.sections = {
            "reinject": {
                "method": "sendmail" if self.layout == "sendmail" else "smtp",
                "smtp": f"127.0.0.1:{self.instance.port + 1}",
                "timeout": "10s",
                "data_done_timeout": "20s",
            },
            "policy": {"own_domains": ["example.org"], "deadline": "60s"},
            "store": {"path": str(self.root / "store"), "base_url": BASE_URL, "min_free": 0},
            "log": {"to": f"file:{self.events_file}", "level": "debug"},
            "notify": {"per_hour": 0},  # each notification is looked for
        }
        for name, changes in sections.items():
            values = {**self.sections.get(name, {}), **changes}
            self.sections[name] = {key: value for key, value in values.items() if value is not None}
        text = ""
        for name, values in self.sections.items():
            # JSON's strings, lists, numbers and flags are TOML's.
            text += f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        self.write_configuration(text)

    def write_configuration(self, text: str) -> None:
        """Put a configuration in place, never half written."""
        new = self.instance.root / "pfilter.toml.new"
        new.write_text(text)
        new.chmod(0o644)
        new.rename(self.instance.config)

    # What goes in

    def send(
        self, data: bytes, sender: str = SENDER, recipients: Iterable[str] = (READER,), *, raw: bool = False,
        **options: Any,
    ) -> str:  # fmt: skip
        """Send a message to the port with the filter and return its queue id; LF becomes CRLF unless raw."""
        return submit(self.instance.port, data if raw else crlf(data), sender, recipients, **options)

    def send_unfiltered(
        self, data: bytes, sender: str = SENDER, recipients: Iterable[str] = (READER,), *, raw: bool = False,
        **options: Any,
    ) -> str:  # fmt: skip
        """Send a message to the port without."""
        return submit(self.instance.port + 3, data if raw else crlf(data), sender, recipients, **options)

    def pipe(self, data: bytes, recipients: Sequence[str] = (READER,)) -> "subprocess.Popen[bytes]":
        """Start pfilter-pipe as Postfix does, in the instance's world, with a message on stdin."""
        source = self.root / f"stdin-{time.monotonic_ns()}"
        source.write_bytes(data + MARK)
        argv = [sys.executable, str(PRIVATE), str(self.instance.work), "run", "--", "setpriv", "--reuid", USER]
        argv += ["--regid", "nogroup", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin", "LANG=C"]
        argv += [str(self.instance.current / "bin" / "pfilter-pipe"), f"--config={self.instance.config}"]
        argv += ["--queue-id=4F2A", "--end=blank-line", f"--size={queue_size(data)}", "-f", SENDER, "--", *recipients]
        with open(source, "rb") as stdin:
            return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # What comes out

    def at_sink(self) -> list[Arrived]:
        """Return what has arrived until now, in order."""
        return [Arrived.read(path) for path in sorted(set(self.instance.sink.glob("*.json")) - self._known)]

    def settle(self) -> list[Arrived]:
        """Wait until the queue is empty, and return all that arrived."""

        def is_settled() -> bool:
            assert self.trouble_expected or not (lines := self.put_off()), lines
            return self.instance.is_settled()

        try:
            wait(is_settled, "an empty queue")
        except AssertionError as error:
            raise AssertionError(f"{error}, in which is {self.queue()}") from None
        return self.at_sink()

    def delivered(self, sender: str = SENDER) -> Arrived:
        """Wait until the queue is empty, and return the one message that arrived of a sender: exactly one."""
        found = [one for one in self.settle() if one.sender == sender]
        assert len(found) == 1, [(one.mail, one.recipients) for one in self.at_sink()]
        return found[0]

    def notification(self, sender: str = SENDER) -> Arrived | None:
        """Return the mail to the sender, None where there is none; there is never a second one."""
        found = [one for one in self.settle() if one.sender == "" and one.recipients == [f"<{sender}>"]]
        assert len(found) <= 1
        return found[0] if found else None

    def forget(self) -> None:
        """Look only at what arrives from now on."""
        self.settle()
        self._known = set(self.instance.sink.glob("*.json"))

    # What Postfix says

    def queue(self) -> list[dict[str, Any]]:
        """Return what postqueue tells of the queue."""
        return [json.loads(line) for line in self.instance.run("postqueue", "-j").splitlines()]

    def filter_lines(self, queue_id: str) -> list[str]:
        """Return what pipe(8) or lmtp(8) logged about a message: how each attempt ended, a line for each recipient."""
        program = "postfix/lmtp" if self.layout == "lmtp" else "postfix/pipe"
        wanted = re.compile(rf"{program}\[\d+\]: {queue_id}: to=.* relay=(?:pfilter|none|\S+\[private/pfilter-in\]),.*")
        lines = self.instance.log(self._log_start).splitlines()
        return [found[0] for line in lines if (found := wanted.search(line))]

    def put_off(self) -> list[str]:
        """Return what pipe(8) logged about messages that could not be filtered now."""
        return [line for line in self.filter_lines(r"\w+") if "status=deferred" in line]

    def line(self, queue_id: str) -> str:
        """Return the one line that pfilter had Postfix log, for a message with one recipient that it took through."""
        lines = wait(lambda: self.filter_lines(queue_id), f"a log line about {queue_id}")
        told = re.compile(r"status=sent \((?:delivered via pfilter service \((.*)\)|250 2\.0\.0 (.*))\)$")
        sent = [found[1] or found[2] for line in lines if (found := told.search(line))]
        assert len(sent) == 1, lines
        return sent[0]

    def waits_in_queue(self, queue_id: str, text: str) -> str:
        """Wait until an attempt was put off for a reason; the message is in the queue, and nothing arrived."""
        self.trouble_expected = True

        def put_off() -> str:
            lines = [line for line in self.filter_lines(queue_id) if text in line]
            return lines[-1] if lines else ""

        try:
            line = str(wait(put_off, f"a line {text!r} about {queue_id}"))
        except AssertionError as error:
            raise AssertionError(f"{error}, but {self.filter_lines(queue_id)}") from None
        assert "status=deferred" in line, line
        assert "dsn=4." in line, line
        # It is tried again and again, and goes from folder to folder while we look into one after the other.
        wait(lambda: any(path.name == queue_id for path in self.instance.queue_files()), "its file in the queue")
        assert self.at_sink() == []
        return line

    def retry(self) -> list[Arrived]:
        """Have Postfix try again what waits; return what arrived when the queue is empty."""
        self.trouble_expected = True
        self.instance.run("postqueue", "-f")
        return self.settle()

    # What pfilter says and keeps

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the events of a name, or all."""
        lines = self.events_file.read_text().splitlines()
        return [event for event in map(json.loads, lines) if not name or event["event"] == name]

    def event(self, queue_id: str) -> dict[str, Any]:
        """Return the summary of a message that was taken through."""
        found = [event for event in self.events("message") if event["queue_id"] == queue_id]
        assert len(found) == 1, found
        return found[0]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of downloads."""
        return [json.loads(path.read_text()) for path in sorted((self.store / "records").glob("*.json"))]

    @property
    def blobs(self) -> list[Path]:
        """The stored contents."""
        return sorted(path for path in (self.store / "blobs").rglob("*") if path.is_file())

    def open(self, url: str) -> bytes:
        """Return what a web server with rights of its own serves for a link."""
        assert url.startswith(f"{BASE_URL}/")
        path = self.store / "downloads" / unquote(url.removeprefix(f"{BASE_URL}/"))
        path = path / "index.html" if url.endswith("/") else path
        assert path.stat().st_mode & 0o777 == 0o644
        for folder in list(path.parents)[: len(path.relative_to(self.store).parts)]:
            assert folder.stat().st_mode & 0o777 == 0o711, folder
        return path.read_bytes()

    def linked(self, of: Arrived) -> dict[str, bytes]:
        """Return the files behind the links of a message by name; page, text and HTML agree about them."""
        pages = [url for url in addresses(of.text) if url.endswith("/")]
        assert len(pages) == 1, of.text
        page = self.open(pages[0]).decode("utf-8")
        paths = re.findall(r'href="(files/[^"]*)"', page)
        found = {unquote(path.removeprefix("files/")): self.open(pages[0] + path) for path in paths}
        assert found
        for name in found:
            assert name in of.text
        if NOTICE in of.html:
            assert addresses(of.html) == [pages[0] + paths[0] if len(paths) == 1 else pages[0]], of.html
        else:
            assert (
                not of.html or "to download, available" in of.text[:40]
            )  # a part in front, for readers of either form
        return found


def tidy(gate: Gate, *, keep: bool) -> None:
    """Leave an instance as the next test wants it: its own installation, no mail, nothing running."""
    instance = gate.instance
    instance.use(instance.venv)
    for pid in instance.processes(str(instance.config)):  # pfilter-pipe, and stubs that were given the path
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in instance.processes(str(gate.root)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not instance.is_settled():
        with contextlib.suppress(AssertionError):
            wait(instance.is_settled, "an empty queue", 2)
    while not instance.is_settled():
        instance.run("postsuper", "-d", "ALL")
    if not keep:
        shutil.rmtree(gate.root, ignore_errors=True)
