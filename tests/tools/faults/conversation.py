"""What Postfix's lmtp(8) does, in a few lines: several messages over one connection to a process of pfilter-lmtp.

Started as spawn(8) starts it: one socket as all three descriptors. Where the connection is lost, or closed with 421,
the messages that are left go over another one, to another process, that nothing is done to. A recipient's message
leaves the queue by 250 and comes back to its sender by 5xx; whatever else is said, or not said, keeps it.
"""

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from tests.tools.faults.mail import Mail
from tests.tools.faults.process import descendants, kill

FAREWELL = 15.0  # seconds for the process to end after the last word


class Answer(NamedTuple):
    """What was said of a message, a reply for each recipient that heard one; none where the connection was lost."""

    mail: Mail
    replies: tuple[bytes, ...] = ()
    hung: bool = False
    at: int = 0  # time.time_ns() of the last reply

    @property
    def status(self) -> int | None:
        """What it means, in pipe(8)'s terms: 0 is delivered, 75 and a signal (nothing said) wait, 70 is bounced."""
        if self.hung:
            return None
        if any(reply.startswith(b"5") for reply in self.replies):
            return 70
        if not self.replies:
            return -9
        delivered = [reply.startswith(b"250 ") for reply in self.replies]
        whole = len(delivered) == len(self.mail.readers) and all(delivered)
        return 0 if whole else 75 if not any(delivered) else 71

    @property
    def by_reader(self) -> list[tuple[str, bytes]]:
        """Each recipient and the reply about him, b"" where there was none."""
        silent = [b""] * (len(self.mail.readers) - len(self.replies))
        return list(zip(self.mail.readers, [*self.replies, *silent], strict=True))

    @property
    def said(self) -> bytes:
        """The text of the first reply, from the enhanced status code on."""
        return self.replies[0][4:] if self.replies else b""


class _LostError(Exception):
    """The connection is over."""


class _StaleError(_LostError):
    """It was over before the message began: that costs the message nothing (Postfix, smtp_reuse.c)."""


class Connection:
    """One process and the socket to it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(seconds)
        with theirs:
            self.inode = f"socket:[{os.fstat(theirs.fileno()).st_ino}]"
            fd = theirs.fileno()
            self.process = subprocess.Popen(
                argv, stdin=fd, stdout=fd, stderr=fd, env=dict(environment), start_new_session=True
            )
        self._lines = self._socket.makefile("rb")
        self._greeted = False

    def reply(self) -> bytes:
        """Return the last line of the next reply. Raises _LostError."""
        while True:
            try:
                line = self._lines.readline()
            except ConnectionError as error:
                raise _LostError from error
            if not line.endswith(b"\r\n"):
                raise _LostError
            if line[3:4] != b"-":
                return line.rstrip(b"\r\n")

    def say(self, octets: bytes) -> None:
        """Send. Raises _LostError where nobody listens and nobody has said anything before."""
        try:
            self._socket.sendall(octets)
        except ConnectionError as error:
            raise _LostError from error

    def greet(self) -> None:
        """Begin. Raises _LostError where the other side is no LMTP server that is ready."""
        if not self._greeted:
            if not self.reply().startswith(b"220 "):
                raise _LostError
            self.say(b"LHLO client.example.org\r\n")
            if not self.reply().startswith(b"250 "):
                raise _LostError
            self._greeted = True

    def probe(self) -> None:
        """Look whether a connection that has been used still works, as Postfix does. Raises _StaleError."""
        try:
            self.say(b"RSET\r\n")
            if self.reply().startswith(b"250 "):
                return
        except _LostError:
            pass
        raise _StaleError

    def send(self, mail: Mail) -> Iterator[bytes]:
        """Send a message; yield what is said of it. Raises _LostError, TimeoutError."""
        if self._greeted:
            self.probe()
        self.greet()
        queue_id = f"4F{crc32(mail.sender.encode('ascii')):X}"
        lines = [f"XFORWARD ADDR=192.0.2.1 IDENT={queue_id}", f"MAIL FROM:<{mail.sender}> SIZE={len(mail.data)}"]
        lines += [f"RCPT TO:<{reader}>" for reader in mail.readers]
        self.say("".join(f"{line}\r\n" for line in [*lines, "DATA"]).encode("ascii"))
        said = [self.reply() for _ in lines] + [self.reply()]
        for reply in said:
            if reply.startswith(b"421"):
                yield reply
                raise _LostError
        if not said[-1].startswith(b"354"):
            yield from [next(reply for reply in said if not reply.startswith(b"250 "))] * len(mail.readers)
            return
        wire = mail.data.replace(b"\n", b"\r\n")
        wire = (b"." if wire.startswith(b".") else b"") + wire.replace(b"\r\n.", b"\r\n..")
        with contextlib.suppress(_LostError):  # what has been said before it hung up still counts
            self.say(wire + b".\r\n")
        for _ in mail.readers:
            reply = self.reply()
            yield reply
            if reply.startswith(b"421"):
                raise _LostError

    def end(self, *, hung: bool) -> None:
        """Say good-bye, and wait until the process has ended."""
        with contextlib.suppress(_LostError, TimeoutError):
            if self._greeted and not hung:
                self.say(b"QUIT\r\n")
                self.reply()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self._socket.close()
        try:
            self.process.wait(0.2 if hung else FAREWELL)
        except subprocess.TimeoutExpired:
            for pid in [*descendants(self.process.pid), self.process.pid]:
                kill(pid)
            self.process.wait(FAREWELL)
            if not hung:
                raise


class Talk(NamedTuple):
    """What came of messages: an answer for each, and the socket of the first connection as strace(1) calls it."""

    answers: list[Answer]
    inode: str
    connections: int


def talk(
    mails: Sequence[Mail],
    argv: Sequence[str],
    others: Sequence[str],
    environment: Mapping[str, str],
    seconds: float,
    meanwhile: "Callable[[subprocess.Popen[bytes]], None] | None" = None,
) -> Talk:
    """Send messages one after the other to a process started by `argv`, and by `others` once that is gone."""
    answers: list[Answer] = []
    connection = Connection(argv, environment, seconds)
    inode, connections = connection.inode, 1
    watching = threading.Thread(target=meanwhile, args=(connection.process,)) if meanwhile else None
    if watching:
        watching.start()
    waiting = list(mails)
    while waiting:
        mail = waiting[0]
        replies: list[bytes] = []
        lost = hung = False
        try:
            for reply in connection.send(mail):
                replies.append(reply)
        except _StaleError:
            connection.end(hung=False)
            connection = Connection(others, environment, seconds)
            connections += 1
            continue
        except _LostError:
            lost = True
            if replies and replies[-1].startswith(b"421"):
                replies = [replies[-1]] * len(mail.readers)
        except TimeoutError:
            lost = hung = True
        answers.append(Answer(mail, tuple(replies), hung, time.time_ns()))
        del waiting[0]
        if lost and waiting:
            connection.end(hung=hung)
            connection = Connection(others, environment, seconds)
            connections += 1
    connection.end(hung=answers[-1].hung)
    if watching:
        watching.join(seconds)
    return Talk(answers, inode, connections)
