"""One gateway in a folder: configurations, a store, a sendmail and an SMTP server that record; attempts at a message.

Postfix's queue is modelled by exit statuses, as pipe(8) reads them: 0 takes the message out, 75 and death by a signal
keep it, everything else bounces it. What pfilter-lmtp answers is told in the same terms; there a message has others
before and after it, over the same connection.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lib.support import BASE_URL, MARK, queue_size
from tests.tools.faults.conversation import Answer, talk
from tests.tools.faults.delivery import Delivery
from tests.tools.faults.mail import APART, CHANGES, EXEMPT, PASSES, STRIPPED, Mail
from tests.tools.faults.process import Ended, adopt_orphans, finish, reap, start
from tests.tools.faults.server import Server

ENVIRONMENT = {"LANG": "C", "PATH": "/usr/bin:/bin"}  # pipe(8) passes little more
SECONDS = 30.0  # for one attempt; most take a tenth
CACHE_AGE = 2.2  # seconds after which pfilter keeps the configuration in a form that loads sooner
GRACE = 7 * 86400
# What goes over a connection before and after the message that it is about.
NEIGHBOURS = tuple(PASSES._replace(name=name, sender=f"{name}@example.org") for name in ("before", "after"))

STUB = """#!/bin/sh
set -e
{before}
d={calls}/$$
mkdir $d
printf '%s\\0' "$@" >$d/argv
{reading}
{between}
mv $d $d.queued
{after}
"""


class Place:
    """Where one worker tries one message after the other, each with a store of its own."""

    def __init__(self, root: Path, command: Sequence[str], door: str = "pipe") -> None:
        adopt_orphans()
        self.root = root
        self.command = list(command)
        self.door = door
        self.answer: Answer | None = None  # of the last attempt, at the door for lmtp(8)
        self.others: list[Answer] = []  # about the messages before and after
        self.inode = ""  # of its connection
        self.store = root / "store"
        self.calls = root / "calls"
        self.log = root / "strace"
        self.away = root / "store.away"
        self._warm = root / "warm"
        self._said = root / "said"
        root.mkdir(mode=0o711)
        root.chmod(0o711)
        self.server = Server()
        self.mails = {mail.name: mail for mail in (PASSES, CHANGES, STRIPPED, APART)}
        for mail in self.mails.values():
            (root / mail.name).write_bytes(mail.data + MARK)
        self._configure()
        time.sleep(CACHE_AGE)
        self._warm_up()

    def _configure(self) -> None:
        basic: dict[str, dict[str, object]] = {
            "reinject": {
                "method": "sendmail",
                "sendmail": str(self.root / "sendmail"),
                "smtp": f"127.0.0.1:{self.server.port}",
                "timeout": "10s",
                "data_done_timeout": "10s",
            },
            "policy": {"own_domains": ["example.org"], "exempt_recipients": [EXEMPT], "deadline": "20s"},
            "link": {"part_limit": "100 KiB"},
            "store": {"path": str(self.store), "base_url": BASE_URL, "min_free": 0, "grace": f"{GRACE}s"},
            "log": {"to": f"file:{self.root / 'events'}", "level": "debug"},
            "notify": {"sender": False},
        }
        self._write("sendmail", basic)
        self._write("smtp", {**basic, "reinject": {**basic["reinject"], "method": "smtp"}})
        self._write("notify", {**basic, "notify": {"sender": True}})
        for name in ("sendmail", "smtp"):
            hurried = {**basic["reinject"], "method": name, "timeout": "1s", "data_done_timeout": "1s"}
            policy = {**basic["policy"], "deadline": "10s"}
            self._write(f"{name}-hurried", {**basic, "reinject": hurried, "policy": policy})

    def _write(self, name: str, sections: dict[str, dict[str, object]]) -> None:
        # JSON's strings, lists, numbers and flags are TOML's.
        text = ""
        for section, values in sections.items():
            text += f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        (self.root / f"{name}.toml").write_text(text, encoding="utf-8")

    def _warm_up(self) -> None:
        """Compile the modules; keep a store as it is after a message, with nothing to expire."""
        from pfilter.store.cleanup import expire
        from pfilter.store.local import LocalStore

        self.reset()
        for config in ("notify", "smtp", "sendmail"):
            for mail in (PASSES, CHANGES, STRIPPED):
                ended = self.attempt(mail, config)
                if ended.status != 0:
                    raise RuntimeError(f"without a fault, too: {ended}")
        shutil.rmtree(self.store / "trouble")
        expire(LocalStore(str(self.store), BASE_URL), time.time() + 100 * 86400, GRACE)
        subprocess.run(["cp", "-a", str(self.store), str(self._warm)], check=True)

    # What a run begins with

    def reset(self, *, warm: bool = False) -> None:
        """Begin anew: an empty store, or one that was in use; nothing delivered."""
        for path in (self.store, self.away, self.calls):
            shutil.rmtree(path, ignore_errors=True)
        if warm:
            subprocess.run(["cp", "-a", str(self._warm), str(self.store)], check=True)
        else:
            self.store.mkdir(mode=0o711)
            self.store.chmod(0o711)
        self.calls.mkdir()
        self.calls.chmod(0o777)
        self.log.unlink(missing_ok=True)
        (self.root / "events").write_bytes(b"")
        self.stub()
        self.server.reset()

    def stub(self, *, before: str = "", reading: str = "cat >$d/stdin", between: str = "", after: str = "") -> None:
        """Make a sendmail that records; the rename is what queueing is to Postfix. Each argument is sh."""
        path = self.root / "sendmail"
        path.unlink(missing_ok=True)
        script = STUB.format(before=before, calls=self.calls, reading=reading, between=between, after=after)
        path.write_text(script, encoding="utf-8")
        path.chmod(0o755)

    # Attempts

    def argv(self, mail: Mail, config: str = "sendmail", command: Sequence[str] = ()) -> list[str]:
        """Return the command line as master.cf has it."""
        if self.door == "lmtp":
            return [*(command or self.command), f"--config={self.root / config}.toml"]
        told = [f"--config={self.root / config}.toml", "--queue-id=4F2A1"]
        told += ["--end=blank-line", f"--size={queue_size(mail.data)}"]
        return [*(command or self.command), *told, "-f", mail.sender, "--", *mail.readers]

    def attempt(
        self,
        mail: Mail,
        config: str = "sendmail",
        *,
        under: Sequence[str] = (),
        command: Sequence[str] = (),
        meanwhile: "Callable[[subprocess.Popen[bytes]], None] | None" = None,
        seconds: float = SECONDS,
        adopted: bool = True,
        alone: bool = False,
    ) -> Ended:
        """Run the filter once, below a command such as strace, until it and all that it started have ended.

        `adopted`: no other process was started meanwhile, so that whatever else ends is an orphan of this one.
        `alone`: without others on the same connection.
        """
        argv = [*under, *self.argv(mail, config, command)]
        if self.door == "lmtp":
            mails = [mail] if alone else [NEIGHBOURS[0], mail, *NEIGHBOURS[1:]]
            answers = self.talk(mails, config, argv, seconds, meanwhile)
            one = answers.pop(0 if alone else 1)
            self.answer, self.others = one, answers
            return Ended(one.status, one.said, one.at)
        process = start(argv, self.root / mail.name, self._said, ENVIRONMENT)
        if meanwhile:
            meanwhile(process)
        ended = finish(process, self._said, seconds)
        if adopted:
            reap()
        self.server.settle()
        return ended

    def talk(
        self,
        mails: Sequence[Mail],
        config: str,
        argv: Sequence[str],
        seconds: float = SECONDS,
        meanwhile: "Callable[[subprocess.Popen[bytes]], None] | None" = None,
    ) -> list[Answer]:
        """Send messages over one connection, and return what was said of each."""
        found = talk(mails, argv, self.argv(mails[0], config), ENVIRONMENT, seconds, meanwhile)
        self.inode = found.inode
        reap()
        self.server.settle()
        return found.answers

    def second(self, mail: Mail, config: str = "sendmail") -> "subprocess.Popen[bytes]":
        """Start the filter beside another attempt."""
        return start(self.argv(mail, config), self.root / mail.name, self.root / "said-2", ENVIRONMENT)

    # What came of it

    def taken(self, mail: Mail) -> list[Delivery]:
        """Return the deliveries of a message in their order, notifications left out."""
        return [one for one in self._all_taken() if one.sender == mail.sender]

    def notifications(self, mail: Mail) -> list[Delivery]:
        """Return the mails to a message's sender."""
        return [one for one in self._all_taken() if one.sender != mail.sender]

    def _all_taken(self) -> list[Delivery]:
        folders = sorted(self.calls.glob("*.queued"), key=lambda folder: (folder / "stdin").stat().st_mtime_ns)
        found = []
        for folder in folders:
            argv = os.fsdecode((folder / "argv").read_bytes()).split("\0")[:-1]
            readers = tuple(argv[argv.index("--") + 1 :])
            noted = folder / "at"
            at = int(noted.read_text(encoding="ascii")) if noted.exists() else 0
            found.append(Delivery(argv[argv.index("-f") + 1], readers, (folder / "stdin").read_bytes(), at))
        return found + self.server.taken
