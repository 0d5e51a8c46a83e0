"""Servers that take messages, on this machine: one that speaks SMTP, one that takes POSTs."""

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class MailServer:
    """What an SMTP server was told: envelopes and mails; and what it answers."""

    port: int = 0
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """By command, in place of the usual answer; each is given once."""
    asked: list[str] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """An SMTP server without TLS."""
    told = MailServer()

    class Session(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            sender, recipients = "", []
            self.say("220 here")
            while line := self.rfile.readline():
                command = line.decode().strip()
                verb = command[:4].upper()
                told.asked.append(verb)
                if verb in told.answers:
                    self.say(told.answers.pop(verb))
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    told.mails.append(b"".join(each.removeprefix(b".") for each in lines))
                    told.envelopes.append((sender, recipients))
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    if verb == "MAIL":
                        sender, recipients = command[10:].strip("<> "), []
                    if verb == "RCPT":
                        recipients.append(command[8:].strip("<> "))
                    self.say("250 fine")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        told.port = server.server_address[1]
        yield from _served(server, told)


@dataclass
class Webhook:
    """What was posted: (path, headers, body); and what the server answers."""

    url: str = ""
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """The next statuses; 200 after them. 0: no answer at all."""
    release: threading.Event = field(default_factory=threading.Event)


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A server that takes POSTs."""
    told = Webhook()

    class Request(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.posts.append((self.path, dict(self.headers), body))
            status = told.answers.pop(0) if told.answers else 200
            if not status:
                told.release.wait(30)
                return
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"its body")

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request) as server:
        server.daemon_threads = True
        told.url = f"http://127.0.0.1:{server.server_address[1]}/hook/very-secret"
        yield from _served(server, told)
        told.release.set()


def _served(server: Any, told: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
