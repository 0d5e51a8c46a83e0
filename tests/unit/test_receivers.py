"""Sending: what arrives at real receivers on this machine, and what becomes of one that fails."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from message_servers import MailServer, Webhook, mail_server, webhook

from capacity_dagster.receivers import Message, Sent, plain, send
from capacity_dagster.site_sections import Alerts, Smtp

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MESSAGE = Message(
    "Publishing is blocked: größer", "What:  é\n.\nNext:  build\n", {"kind": "publishing_blocked", "n": 2}
)
HOOK = "CAPACITY_TEST_WEBHOOK"


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook() as server:
        monkeypatch.setenv(HOOK, server.url)
        yield server


def to_mail(server: MailServer, **smtp: object) -> Alerts:
    return Alerts(
        recipients=("ann@example.org", "bob@example.org"),
        smtp=Smtp(host="127.0.0.1", port=server.port, sender="capacity@example.org", **{"tls": "none", **smtp}),
    )


def sent(alerts: Alerts, message: Message = MESSAGE, **more: float) -> tuple[list[Sent], list[float]]:
    pauses: list[float] = []
    return send(alerts, message, NOW, pauses.append, **more), pauses


def test_a_mail_arrives_as_it_is_written(mails: MailServer) -> None:
    assert sent(to_mail(mails)) == ([Sent("e-mail to ann@example.org, bob@example.org")], [])
    assert mails.envelopes == [("capacity@example.org", ["ann@example.org", "bob@example.org"])]
    mail = message_from_bytes(mails.mails[0], policy=policy.default)
    del mail["Message-ID"]
    assert dict(mail.items()) == {
        "Subject": "Publishing is blocked: größer",
        "From": "capacity@example.org",
        "To": "ann@example.org, bob@example.org",
        "Date": "Sat, 28 Nov 2026 12:00:00 +0000",
        "Auto-Submitted": "auto-generated",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "quoted-printable",
        "MIME-Version": "1.0",
    }
    assert mail.get_content().replace("\r\n", "\n") == MESSAGE.text


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n", "\x0b", "\x85", "\u2028"])
def test_a_name_adds_no_header(mails: MailServer, end: str) -> None:
    subject = f"cluster{end}Bcc: eve@example.org"
    results, _ = sent(to_mail(mails), Message(subject, "text\n", {}))
    assert [each.problem for each in results] == [None]
    mail = message_from_bytes(mails.mails[0], policy=policy.default)
    assert mail["Subject"] == f"cluster{chr(0xFFFD) * len(end)}Bcc: eve@example.org"
    assert mail["Bcc"] is None
    assert mails.envelopes[0][1] == ["ann@example.org", "bob@example.org"]


def test_plain_text_controls_nothing() -> None:
    assert plain("a\x1b[31m\x00\u202eb\ud800 ü 漢") == "a�[31m��b� ü 漢"


def test_a_busy_mail_server_is_asked_again_and_one_that_refuses_is_not(mails: MailServer) -> None:
    mails.answers = {"MAIL": "451 later"}
    results, pauses = sent(to_mail(mails))
    assert (results[0].problem, pauses, len(mails.mails)) == (None, [1.0], 1)
    mails.answers = {"MAIL": "550 not from you\x07"}
    results, pauses = sent(to_mail(mails))
    assert (results[0].problem, pauses) == ("127.0.0.1 answers 550 not from you�", [])


def test_one_bad_recipient_keeps_the_mail_from_no_other(mails: MailServer, caplog: pytest.LogCaptureFixture) -> None:
    mails.answers = {"RCPT": "550 unknown"}
    results, _ = sent(to_mail(mails))
    assert results[0].problem is None
    assert mails.envelopes == [("capacity@example.org", ["bob@example.org"])]
    assert "127.0.0.1 refuses ann@example.org (550 unknown)" in caplog.text


def test_no_mail_goes_unencrypted_unless_the_site_file_says_so(mails: MailServer) -> None:
    results, _ = sent(to_mail(mails, tls="starttls"))
    assert results[0].problem == "STARTTLS extension not supported by server."
    assert not mails.mails


def test_a_password_comes_from_the_environment(mails: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAIL_PASSWORD", raising=False)
    results, pauses = sent(to_mail(mails, tls="starttls", user="ann", password_variable="MAIL_PASSWORD"))
    expected = "environment variable MAIL_PASSWORD is not set; expected the password of the mail server"
    assert (results[0].problem, pauses) == (expected, [])


def test_a_webhook_gets_text_and_fields(hook: Webhook) -> None:
    message = Message("Late: <!channel>", "of @all & sundry\n", {"kind": "source_stale", "what": "<b>@x"})
    assert sent(Alerts(webhook_variable=HOOK), message) == ([Sent(f"webhook of {HOOK}")], [])
    path, headers, body = hook.posts[0]
    assert path == "/hook/very-secret"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(body) == {
        "text": "Late: &lt;!channel&gt;\nof @\u2060all &amp; sundry\n",
        "kind": "source_stale",
        "what": "<b>@x",
    }
    sent(Alerts(webhook_variable=HOOK, webhook_fields="text"), message)
    assert list(json.loads(hook.posts[1][2])) == ["text"]


def test_a_webhook_that_fails_is_asked_again_a_few_times(hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    hook.answers = [503, 429]
    assert sent(Alerts(webhook_variable=HOOK)) == ([Sent(f"webhook of {HOOK}")], [1.0, 5.0])
    hook.answers = [500] * 9
    with caplog.at_level(logging.WARNING, logger="capacity_dagster"):
        results, pauses = sent(Alerts(webhook_variable=HOOK))
    assert results[0].problem == "it answers 500 Internal Server Error: its body"
    assert pauses == [1.0, 5.0]
    assert len(hook.posts) == 6
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("status", [404, 302])
def test_a_webhook_that_refuses_or_redirects_is_not_asked_again(hook: Webhook, status: int) -> None:
    hook.answers = [status]
    results, pauses = sent(Alerts(webhook_variable=HOOK))
    assert (results[0].problem or "").startswith(f"it answers {status} ")
    assert (pauses, len(hook.posts)) == ([], 1)


def test_a_receiver_that_never_answers_holds_nobody_up(hook: Webhook) -> None:
    hook.answers = [0] * 9
    started = time.monotonic()
    results, _ = sent(Alerts(webhook_variable=HOOK), limit_seconds=0.3)
    assert results[0].problem == "no answer within 0.3 seconds"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", f"environment variable {HOOK} is not set; expected the URL of the webhook"),
        ("file:///etc/very-secret", f"environment variable {HOOK} holds no URL with http:// or https://"),
        ("http://127.0.0.1:port/very-secret", f"environment variable {HOOK}: InvalidURL"),
        ("http://127.0.0.1:1/very secret\n", f"environment variable {HOOK}: InvalidURL"),
        ("http://127.0.0.1:1/very-secret", "[Errno 111] Connection refused"),
    ],
)
def test_a_url_that_cannot_be_used_is_never_told(
    monkeypatch: pytest.MonkeyPatch, url: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(HOOK, url)
    results, _ = sent(Alerts(webhook_variable=HOOK))
    assert results[0].problem == problem
    assert "secret" not in caplog.text
