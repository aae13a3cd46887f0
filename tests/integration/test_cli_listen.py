"""``ringpost listen`` and ``ringpost trigger``: a receiver and a sender for whoever integrates."""

import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.commands.listen import EVENTS
from deploy.receiver import ANY_PATH, Mode, ModeKind, Receiver
from ingress.openapi.document import document
from shared.callback import new_secret
from tests.contract.judge import Judge

SECRET = new_secret(bytes(range(32)))
OTHER = new_secret(bytes(range(1, 33)))


@pytest.fixture
def receiver():
    with Receiver({ANY_PATH: [SECRET]}) as receiver:
        yield receiver


def trigger(*arguments, env=None):
    return CliRunner().invoke(main, ["trigger", *arguments], env=env)


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_can_be_sent_signed_and_as_it_is_documented(receiver, event):
    result = trigger(event, "--url", f"{receiver.url}/hooks", "--secret", SECRET, "--message-id", "A-7")

    (received,) = receiver.received
    assert (result.exit_code, received.is_verified, received.path) == (0, True, "/hooks"), result.output
    body = received.json()
    assert (body["type"], body["data"]["messageId"]) == (event, "A-7")
    assert event in document()["webhooks"]
    schema = Judge()._validator("#/components/schemas/Callback", {"$ref": "#/components/schemas/Callback"})
    assert not list(schema.iter_errors(body))


def test_two_secrets_sign_as_in_a_rotation_and_one_may_come_from_the_environment(receiver):
    both = trigger("message.busy", "--url", receiver.url, "--secret", OTHER, "--secret", SECRET)
    named = trigger("message.busy", "--url", receiver.url, env={"RINGPOST_CALLBACK_SECRET": SECRET})

    assert (both.exit_code, named.exit_code) == (0, 0)
    assert [one.is_verified for one in receiver.received] == [True, True]


def test_a_receiver_is_told_whether_it_does_what_it_should(receiver):
    url = ("--url", receiver.url)
    wrong = trigger("message.busy", *url, "--secret", OTHER)
    spoiled = trigger("message.busy", *url, "--secret", SECRET, "--spoil")
    receiver.set_mode("/", Mode(kind=ModeKind.STATUS, status=204))
    gullible = trigger("message.busy", *url, "--secret", SECRET, "--spoil")
    receiver.set_mode("/", Mode(kind=ModeKind.REDIRECT))
    redirected = trigger("message.busy", *url, "--secret", SECRET)
    away = trigger("message.busy", "--url", "http://127.0.0.1:9/", "--secret", SECRET)

    assert (wrong.exit_code, spoiled.exit_code, gullible.exit_code) == (1, 0, 1)
    assert "does not verify" in gullible.stderr
    assert (redirected.exit_code, away.exit_code) == (1, 1)
    assert "only 2xx is success" in redirected.stderr
    assert "nothing answers there" in away.stderr


@pytest.mark.parametrize("arguments", [("message.busy",), ("message.busy", "--secret", "whsec_short"), ("busy",)])
def test_wrong_use_is_named(arguments):
    result = trigger(*arguments, env={"RINGPOST_CALLBACK_SECRET": ""})

    assert result.exit_code == 2
    assert "--secret" in result.stderr or "message.busy" in result.stderr


def test_listen_prints_what_comes_and_whether_it_was_verified():
    command = [
        sys.executable,
        "-c",
        "from deploy.cli import main; main()",
        "listen",
        "--port",
        "0",
        "--count",
        "2",
        "--json",
        "--secret",
        SECRET,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as listening:
        url = re.search(r"http://\S+", listening.stderr.readline())[0]
        trigger("message.delivered", "--url", f"{url}/a", "--secret", SECRET)
        trigger("message.expired", "--url", f"{url}/b", "--secret", OTHER)
        output, _ = listening.communicate(timeout=20)

    told = [json.loads(line) for line in output.splitlines()]
    assert [(one["path"], one["verified"], one["body"]["data"]["status"]) for one in told] == [
        ("/a", True, "delivered"),
        ("/b", False, "expired"),
    ]
    assert told[0]["headers"]["webhook-id"].startswith("evt_")
    assert listening.returncode == 1


def test_listen_answers_what_it_is_told_to_and_says_when_its_port_is_taken(receiver):
    port = receiver.url.rpartition(":")[2]

    taken = CliRunner().invoke(main, ["listen", "--port", port])

    assert taken.exit_code == 2
    assert "--port" in taken.stderr
    receiver.set_mode(ANY_PATH, Mode(kind=ModeKind.STATUS, status=503))
    assert trigger("message.busy", "--url", f"{receiver.url}/any", "--secret", SECRET).exit_code == 1
