"""An SMTP server on loopback that goes wrong in a chosen way."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator

Replies = dict[str, str | Callable[[str], str] | None]
REPLIES: Replies = {"EHLO": "250-peer\r\n250-PIPELINING\r\n250 8BITMIME", "DATA": "354 go ahead"}


class Server:
    """Answers with `replies`, by verb; "." is the end of the data, "" the greeting. None hangs up, "wait" hangs.

    A reply may depend on the whole line: then it is a function.
    """

    def __init__(self, replies: Replies) -> None:
        self.replies = {**REPLIES, **replies}
        self.lines: list[str] = []  # what clients said
        self.released = threading.Event()
        outer = self

        class Session(socketserver.StreamRequestHandler):
            timeout = 60

            def answer(self, verb: str, line: str = "") -> bool:
                reply = outer.replies.get(verb, "250 ok")
                if reply == "wait":
                    outer.released.wait(60)
                    return False
                if reply is None:
                    return False
                said = reply(line) if callable(reply) else reply
                self.wfile.write(said.encode("ascii") + b"\r\n")
                return True

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.talk()

            def talk(self) -> None:
                outer.replies.setdefault("", "220 peer")
                if not self.answer(""):
                    return
                while line := self.rfile.readline().decode("utf-8", "replace").strip():
                    outer.lines.append(line)
                    verb = line.split(" ")[0].upper()
                    if not self.answer(verb, line) or verb == "QUIT":
                        return
                    if verb == "DATA" and str(outer.replies["DATA"]).startswith("3"):
                        while self.rfile.readline() not in (b".\r\n", b""):
                            pass
                        if not self.answer("."):
                            return

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Threads(("127.0.0.1", 0), Session)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop, with all sessions."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def serving(replies: Replies) -> Iterator[Server]:
    """Run a server for a while."""
    server = Server(replies)
    try:
        yield server
    finally:
        server.close()
