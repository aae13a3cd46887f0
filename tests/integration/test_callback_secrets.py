"""H1: a callback secret changes without a callback refused, and the old one is forgotten a day later."""

import base64
import json

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from shared.callback import new_secret
from tests.integration.callback_stage import SECRET, stages
from tests.integration.ingress_stage import Customer, is_problem
from tests.integration.ingress_stage import staged as ingress
from tests.integration.worker_stage import PROVIDER
from tests.integration.worker_stage import staged as worker
from workers.deliver_callbacks import DeliverCallbacks
from workers.reconcile_events import ReconcileEvents
from workers.tidy import Tidy

DAY_S = 24 * 3600


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        stage.receiver._inbox.secrets.clear()  # it believes everybody: the tests look themselves
        yield stage


def rotated(ringpost, endpoint_id, *options):
    result = ringpost("endpoints", "rotate-secret", endpoint_id, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["callbackSecret"]


def delivered(stage, endpoint_id, number):
    """One more callback as the provider gets it."""
    stage.callbacks(endpoint_id, first=number)
    stage.deliver()
    return stage.receiver.received[-1]


def believed(received, *secrets):
    """Which of the secrets a receiver may know to believe the callback."""

    def is_one(secret):
        try:
            Webhook(secret).verify(received.body, dict(received.headers))
        except WebhookVerificationError:
            return False
        return True

    return [is_one(secret) for secret in secrets]


def signatures(received):
    return received.headers["webhook-signature"].split()


def endpoint(stage, endpoint_id):
    (row,) = stage.rows(
        "SELECT *, old_secret_until - now() AS left FROM endpoints WHERE endpoint_id = :id", id=endpoint_id
    )
    return row


def test_for_a_day_a_callback_is_signed_with_both_secrets_the_new_one_first(stage, ringpost):
    id_ = stage.endpoint()
    before = delivered(stage, id_, 1)

    new = rotated(ringpost, id_)
    meanwhile = delivered(stage, id_, 2)
    left_s = endpoint(stage, id_).left.total_seconds()
    stage.change("UPDATE endpoints SET old_secret_until = now()")
    afterwards = delivered(stage, id_, 3)  # whether or not the sweeper came by

    assert believed(before, SECRET, new) == [True, False]
    assert believed(meanwhile, SECRET, new) == [True, True]
    assert believed(afterwards, SECRET, new) == [False, True]
    assert [len(signatures(one)) for one in (before, meanwhile, afterwards)] == [1, 2, 1]
    first = meanwhile.headers | {"webhook-signature": signatures(meanwhile)[0]}
    assert Webhook(new).verify(meanwhile.body, dict(first))
    assert DAY_S - 60 < left_s <= DAY_S
    assert 24 <= len(base64.b64decode(new.removeprefix("whsec_"))) <= 64


def test_the_old_secret_is_erased_when_its_day_is_over_and_not_before(stage, ringpost):
    id_ = stage.endpoint()
    rotated(ringpost, id_)
    tidy = Tidy(stage.services)

    tidy()
    kept = bytes(endpoint(stage, id_).old_secret)
    stage.change("UPDATE endpoints SET old_secret_until = now()")
    tidy()

    row = endpoint(stage, id_)
    assert SECRET.encode() not in kept
    assert stage.services.sealer.unseal(kept, row=id_).decode() == SECRET
    assert (row.old_secret, row.old_secret_until) == (None, None)


def test_a_secret_that_leaked_signs_nothing_more_at_once(stage, ringpost):
    id_ = stage.endpoint()
    rotated(ringpost, id_)

    new = rotated(ringpost, id_, "--at-once")

    assert believed(delivered(stage, id_, 1), SECRET, new) == [False, True]
    assert endpoint(stage, id_).old_secret is None


def test_rotated_again_within_the_day_the_secret_that_receivers_know_still_counts(stage, ringpost):
    id_ = stage.endpoint()
    lost = rotated(ringpost, id_)

    new = rotated(ringpost, id_)

    assert believed(delivered(stage, id_, 1), SECRET, lost, new) == [True, False, True]


def test_what_is_sent_by_who_wrote_it_is_signed_with_both_too(settings, database, stage, ringpost):
    with worker(stage.settings) as writer:
        id_ = writer.endpoint()
        writer.execute(
            "UPDATE endpoints SET url = :url, secret = :secret WHERE endpoint_id = :id",
            url=f"{stage.receiver.url}/callbacks",
            secret=stage.services.sealer.seal(SECRET.encode(), row=id_),
            id=id_,
        )
        new = rotated(ringpost, id_)
        message = writer.keep()
        writer.place(message)
        writer.keep_webhook(writer.summary(message))
        callbacks = DeliverCallbacks(stage.services)

        ReconcileEvents(writer.services, callbacks)()
        callbacks.senders.wait_for_free(callbacks.senders.limit, timeout_s=20)
        callbacks.drain()

    (received,) = stage.receiver.received
    assert believed(received, SECRET, new) == [True, True]
    assert PROVIDER


def test_endpoints_are_listed_without_secrets(stage, ringpost):
    id_, other = stage.endpoint(), stage.endpoint("/other")
    new = rotated(ringpost, id_)

    listed = json.loads(ringpost("endpoints", "list", "--json").stdout)
    (mine,) = json.loads(ringpost("endpoints", "list", "--provider", id_.replace("ep_", "prov_"), "--json").stdout)
    plain = ringpost("endpoints", "list").stdout

    assert {row["endpointId"] for row in listed} == {id_, other}
    assert (mine["endpointId"], mine["url"]) == (id_, f"{stage.receiver.url}/callbacks")
    assert mine["oldSecretUntil"] is not None
    assert not any(secret in json.dumps(listed) + plain for secret in (SECRET, new, "whsec_"))
    assert id_ in plain


def audited(stage):
    return [(row.action, row.target, row.after) for row in stage.rows("SELECT * FROM audit_log ORDER BY audit_id")]


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled_and_what_waited_is_parked(stage, ringpost):
    id_ = stage.endpoint()
    waiting, in_hand = stage.callbacks(id_, 2)
    stage.change("UPDATE callbacks SET state = 'sending', attempts = 1 WHERE callback_id = :id", id=in_hand)

    off = ringpost("endpoints", "disable", id_)
    stage.deliver()
    states = [stage.row("callbacks", one).state for one in (waiting, in_hand)]
    again = ringpost("endpoints", "disable", id_)
    on = ringpost("endpoints", "enable", id_)
    stage.callbacks(id_, first=3)
    stage.deliver()

    assert (off.exit_code, on.exit_code) == (0, 0)
    assert "2 callbacks are parked" in off.stdout
    assert states == ["parked", "parked"]
    assert (again.exit_code, again.stderr) == (1, f"endpoint {id_} is disabled already\n")
    assert len(stage.receiver.received) == 1
    assert endpoint(stage, id_).disabled_at is None
    assert [row[:2] for row in audited(stage)] == [("endpoint.disable", id_), ("endpoint.enable", id_)]


@pytest.mark.parametrize("command", ["rotate-secret", "disable", "enable"])
def test_an_endpoint_that_there_is_not_is_said_so(stage, ringpost, command):
    result = ringpost("endpoints", command, "ep_none")

    assert (result.exit_code, result.stderr) == (
        1, "there is no endpoint 'ep_none': see `ringpost endpoints list`\n"
    )  # fmt: skip
    assert audited(stage) == []


def test_a_rotation_is_noted_without_the_secret(stage, ringpost):
    id_ = stage.endpoint()
    new = rotated(ringpost, id_)

    ((action, target, after),) = audited(stage)

    assert (action, target, list(after)) == ("endpoint.rotate_secret", id_, ["oldSecretUntil"])
    assert new not in json.dumps(after)


def test_a_provider_rotates_its_own_secret_and_sees_no_others(settings, database, stage):
    with ingress(settings.database_url, settings.redis_url, settings.ringpost_data_dir) as door:
        mine, other = door.customer, Customer(door.services.database)
        path = f"/v1/endpoints/{mine.endpoint_id}/secret/rotate"
        door.rows("UPDATE endpoints SET secret = :s WHERE endpoint_id = :id RETURNING 1",
                  s=door.services.sealer.seal(SECRET.encode(), row=mine.endpoint_id), id=mine.endpoint_id)  # fmt: skip

        refused = [
            door.http.post(path, headers=other.headers),
            door.http.post("/v1/endpoints/ep_1/secret/rotate", headers=mine.headers),
            door.http.post("/v1/endpoints/%00/secret/rotate", headers=mine.headers),
        ]
        nobody = [door.http.post(path), door.http.get("/v1/endpoints")]
        untouched = door.rows("SELECT count(*) FROM endpoints WHERE old_secret IS NOT NULL")[0][0]
        told = door.http.post(path, headers=mine.headers).get_json()
        listed = door.http.get("/v1/endpoints", headers=mine.headers).get_json()["data"]
        (row,) = door.rows("SELECT * FROM endpoints WHERE endpoint_id = :id", id=mine.endpoint_id)
        (note,) = door.rows("SELECT * FROM audit_log")

    assert all(is_problem(reply, 404, "not_found") for reply in refused)
    assert all(is_problem(reply, 401, "unauthorized") for reply in nobody)
    assert untouched == 0
    unseal = stage.services.sealer.unseal
    assert unseal(bytes(row.secret), row=mine.endpoint_id).decode() == told["secret"] != SECRET
    assert unseal(bytes(row.old_secret), row=mine.endpoint_id).decode() == SECRET
    assert [one["id"] for one in listed] == [mine.endpoint_id]
    assert listed[0]["oldSecretUntil"] == told["oldSecretUntil"] is not None
    assert "whsec" not in json.dumps(listed)
    assert (note.actor, note.action, note.target) == (mine.key_id, "endpoint.rotate_secret", mine.endpoint_id)
    assert told["secret"] not in repr(note)


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_may_be_of_any_size_that_the_standard_allows(stage, size):
    id_, secret = stage.endpoint(), new_secret(bytes(range(size)))
    stage.change("UPDATE endpoints SET secret = :s", s=stage.services.sealer.seal(secret.encode(), row=id_))

    assert believed(delivered(stage, id_, 1), secret, SECRET) == [True, False]
