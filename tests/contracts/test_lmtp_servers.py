"""pfilter-lmtp under systemd and inetd, with the lines that its manual gives."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lib import support
from tests.lib.smtp_server import Server
from tests.lib.support import PROJECT, Gateway, crlf, plain

MANUAL = PROJECT / "man" / "pfilter-lmtp.8"
PROGRAM = "/opt/pfilter/current/bin/pfilter-lmtp"
CONFIG = "/etc/pfilter/pfilter.toml"
LETTER = support.message(support.part(b"Hello\n.\n..dots\n"))
WIRE = crlf(LETTER).replace(b"\r\n.", b"\r\n..") + b".\r\n"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not there."""
    return pytest.mark.skipif(not shutil.which(name, path=PATH), reason=f"needs {name}")


def blocks() -> list[str]:
    """Return the examples of the section about other mail servers."""
    section = MANUAL.read_text(encoding="utf-8").partition(".Sh OTHER MAIL SERVERS")[2].partition("\n.Sh ")[0]
    return [plain(block) for block in re.findall(r"\.Bd -literal[^\n]*\n(.*?)\.Ed", section, re.DOTALL)]


def example(word: str) -> str:
    """Return the only example that has a word in it."""
    (found,) = [block for block in blocks() if word in block]
    return found


@pytest.fixture
def program(gateway: Gateway, tmp_path: Path) -> Path:
    """Return a program that is this pfilter-lmtp, in an environment of its own."""
    path = tmp_path / "pfilter-lmtp"
    environment = [f"{name}={value}" for name, value in gateway.environment.items()]
    argv = ["env", "-i", *environment, sys.executable, "-P", str(PROJECT / "pfilter" / "lmtp_launcher.py")]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    path.chmod(0o755)
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def connected(port: int, process: "subprocess.Popen[bytes]") -> socket.socket:
    """Return a connection to a server that is about to listen."""
    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 30)
        except ConnectionRefusedError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.fixture
def way_back(gateway: Gateway) -> Server:
    """Return a server that takes results."""
    server = Server(sessions=2)
    gateway.configure(reinject=f'method = "smtp"\nsmtp = "{server.address}"')
    return server


def conversation(port: int, process: "subprocess.Popen[bytes]", way_back: Server) -> None:
    """Hand over a message, and look at what went back."""
    with connected(port, process) as client, client.makefile("rb") as lines:
        client.sendall(
            b"LHLO here\r\nMAIL FROM:<sender@example.org>\r\nRCPT TO:<reader@example.net>\r\nDATA\r\n"
            + WIRE
            + b"QUIT\r\n"
        )
        said = lines.read().decode()
    assert re.search(r"(?m)^354 .*\r\n250 2\.0\.0 passed.*\r\n221 ", said), said
    assert said.startswith("220 ")
    assert WIRE.removesuffix(b".\r\n") in way_back.data
    assert "Traceback" not in said


@needs("systemd-socket-activate")
def test_a_socket_of_systemd(gateway: Gateway, program: Path, way_back: Server) -> None:
    """With Accept=yes and the socket as its input, a connection is served as by spawn(8)."""
    unit = example("ExecStart=")
    for line in ("StandardInput=socket", "StandardOutput=socket", "StandardError=journal"):
        assert f"{line}\n" in unit
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert "Accept=yes\n" in example("ListenStream=")
    argv = shlex.split(command.replace(PROGRAM, str(program)).replace(CONFIG, str(gateway.config)))
    port = free_port()
    server = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--accept", "--inetd", *argv]
    process = subprocess.Popen(server, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"PATH": PATH})
    try:
        conversation(port, process, way_back)
    finally:
        process.terminate()
        process.wait(30)


@needs("systemd-analyze")
def test_systemd_understands_the_units(program: Path, tmp_path: Path) -> None:
    """The manual's units are free of what systemd would warn about."""
    folder = tmp_path / "units"
    folder.mkdir()
    socket_unit, service = folder / "pfilter-lmtp.socket", folder / "pfilter-lmtp@.service"
    socket_unit.write_text(example("ListenStream=").replace("SocketUser=Debian-exim", "SocketUser=daemon"))
    service.write_text(example("ExecStart=").replace(PROGRAM, str(program)).replace("User=pfilter", "User=daemon"))
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(socket_unit), str(service)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    about_these = [line for line in done.stderr.splitlines() if "pfilter" in line]
    assert about_these == [], done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: inetd changes its user")
@needs("inetd")
def test_inetd(gateway: Gateway, program: Path, way_back: Server, tmp_path: Path) -> None:
    """The manual's line of inetd.conf serves a connection as spawn(8) does."""
    port = free_port()
    line = example("nowait").replace("10024", str(port)).replace(PROGRAM, str(program))
    line = line.replace(CONFIG, str(gateway.config)).replace(" pfilter ", " root ")
    assert f"127.0.0.1:{port}" in line
    assert " root " in line
    (tmp_path / "inetd.conf").write_text(line)
    inetd = shutil.which("inetd", path=PATH) or ""
    process = subprocess.Popen(
        [inetd, "-i", str(tmp_path / "inetd.conf")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        conversation(port, process, way_back)
    finally:
        process.terminate()
        process.wait(30)
