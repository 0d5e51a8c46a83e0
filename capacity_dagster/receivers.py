"""Sending a message to those whom the site file names: by e-mail, and to a webhook.

What belongs here: the two ways, their time limits and retries. What does not: what a message says (`alerts`).

A receiver that fails is told of in the log and in the result; it never raises, and never holds up its caller for long.
"""

import http.client
import json
import logging
import os
import smtplib
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from capacity_dagster.site_sections import Alerts, Smtp

log = logging.getLogger("capacity_dagster")

TIMEOUT_SECONDS = 10.0
"""For each answer of a receiver."""
LIMIT_SECONDS = 40.0
"""For all that one receiver may take, retries and pauses included."""
PAUSES_SECONDS = (1.0, 5.0)
"""Before each further attempt."""
PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes:
        subject: one line.
        text: the whole of it, for people.
        fields: the same for programs, as JSON has it.
    """

    subject: str
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """What became of a message at one receiver; without a problem it was taken."""

    receiver: str
    problem: str | None = None


class _Refused(Exception):
    """The receiver will not take it, however often it is asked."""


def plain(text: object) -> str:
    """What somebody delivered, as one line of text in which no character controls anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in str(text))


def send(
    alerts: Alerts,
    message: Message,
    now: datetime,
    pause: Callable[[float], None] = time.sleep,
    limit_seconds: float = LIMIT_SECONDS,
) -> list[Sent]:
    """Sends a message to every receiver of a site, and says what became of it at each."""
    ways: dict[str, Callable[[], None]] = {}
    if alerts.recipients:
        recipients = ", ".join(alerts.recipients)
        ways[f"e-mail to {recipients}"] = lambda: _mail(alerts.smtp, alerts.recipients, message, now)
    if alerts.webhook_variable:
        variable = alerts.webhook_variable
        ways[f"webhook of {variable}"] = lambda: _post(variable, _body(message, alerts.webhook_fields == "all"))
    sent = [Sent(receiver, _attempt(way, pause, limit_seconds)) for receiver, way in ways.items()]
    for each in sent:
        if each.problem:
            log.warning("%s: not sent: %s", each.receiver, each.problem)
    return sent


def _attempt(way: Callable[[], None], pause: Callable[[float], None], limit_seconds: float) -> str | None:
    """Tries one way, some times, within a limit; what was wrong at last, or None."""
    problems: list[str | None] = []

    def attempt() -> None:
        for seconds in (*PAUSES_SECONDS, None):
            try:
                way()
            except _Refused as error:
                problems.append(str(error))
                return
            except (OSError, smtplib.SMTPException, ValueError) as error:
                problems.append(_told(error))
            else:
                problems.append(None)
                return
            if seconds is not None:
                pause(seconds)

    # A timeout is for one answer only: who sends a byte now and then is left behind in a thread that ends with us.
    worker = threading.Thread(target=attempt, daemon=True)
    worker.start()
    worker.join(limit_seconds)
    if worker.is_alive():
        return f"no answer within {limit_seconds:g} seconds"
    return problems[-1] if problems else "failed unexpectedly; the trace is on stderr"


def _told(error: Exception) -> str:
    """An error in words; it never has the address of a webhook in it, which is a secret."""
    if isinstance(error, urllib.error.URLError):
        return plain(error.reason)
    return plain(error) or type(error).__name__


def _secret(variable: str, what: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise _Refused(f"environment variable {variable} is not set; expected {what}")
    return value


def _mail(smtp: Smtp, recipients: tuple[str, ...], message: Message, now: datetime) -> None:
    password = _secret(smtp.password_variable, "the password of the mail server") if smtp.password_variable else ""
    mail = EmailMessage()
    mail["Subject"] = plain(message.subject)
    mail["From"] = smtp.sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = make_msgid(domain=smtp.sender.partition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # nobody's holiday answers it
    mail.set_content(message.text, cte="quoted-printable")  # whatever the lines' length
    port = smtp.port or PORTS[smtp.tls]
    context = ssl.create_default_context()
    try:
        with (
            smtplib.SMTP_SSL(smtp.host, port, timeout=TIMEOUT_SECONDS, context=context)
            if smtp.tls == "tls"
            else smtplib.SMTP(smtp.host, port, timeout=TIMEOUT_SECONDS)
        ) as server:
            if smtp.tls == "starttls":
                server.starttls(context=context)
            if smtp.user:
                server.login(smtp.user, password)
            refused = server.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
        if any(400 <= code < 500 for code, _ in refused.values()):  # such as greylisting
            raise
        raise _Refused(f"{smtp.host} refuses {_refusals(refused)}") from error
    except smtplib.SMTPResponseException as error:
        told = f"{smtp.host} answers {error.smtp_code} {_decoded(error.smtp_error)}"
        if 500 <= error.smtp_code < 600:
            raise _Refused(told) from error
        raise ValueError(told) from error
    if refused:
        log.warning("e-mail: %s refuses %s", smtp.host, _refusals(refused))


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{name} ({code} {_decoded(text)})" for name, (code, text) in refused.items())


def _decoded(text: bytes | str) -> str:
    return plain(text.decode(errors="replace") if isinstance(text, bytes) else text)


def _body(message: Message, has_fields: bool) -> bytes:
    """What chat tools take as `text`, in which `<`, `&` and `@` would be links and calls to people; and the fields."""
    text = f"{message.subject}\n{message.text}"
    for character, harmless in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\N{WORD JOINER}")):
        text = text.replace(character, harmless)
    return json.dumps({"text": text, **(message.fields if has_fields else {})}).encode()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and say nothing."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(variable: str, body: bytes) -> None:
    url = _secret(variable, "the URL of the webhook")
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise _Refused(f"environment variable {variable} holds no URL with http:// or https://")
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "capacity-dagster"}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        told = f"it answers {error.code} {plain(error.reason)}: {_decoded(error.read(200))}"
        error.close()
        if error.code != 429 and error.code < 500:
            raise _Refused(told) from None
        raise ValueError(told) from None
    except (http.client.HTTPException, ValueError) as error:  # whose text may quote the URL
        raise ValueError(f"environment variable {variable}: {type(error).__name__}") from None
