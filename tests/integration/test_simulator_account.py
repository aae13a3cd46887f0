"""The simulator's other routes, and the simulator as a process."""

import csv
import io
import signal
import subprocess
import sys

import pytest
import requests
from click.testing import CliRunner

from deploy.simulator.__main__ import main
from deploy.simulator.server import Simulator
from deploy.simulator.settings import SimulatorSettings

SOURCE, NUMBER = "+6531580001", "+6581234567"


class Client:
    """8x8's and the simulator's own routes, one connection."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {simulator.api_key}"
        self.base = f"{simulator.url}/api/v1/subaccounts/{simulator.settings.subaccount_id}"

    def request(self, method, path, **options):
        return self.http.request(method, f"{self.base}{path}", timeout=5, **options)

    def control(self, method, path, **options):
        return requests.request(method, f"{self.simulator.url}/sim{path}", timeout=5, **options)

    def dial(self, destination=NUMBER):
        actions = [{"action": "makeCall", "params": {"source": SOURCE, "destination": destination}}]
        reply = self.request("POST", "/callflows", json={"callflow": [*actions, {"action": "hangup"}]})
        session_id = reply.json()["sessionId"]
        self.simulator.wait_for(
            lambda ledger: any(one.session_id == session_id and one.session_status for one in ledger.entries)
        )
        return session_id


@pytest.fixture
def client():
    with Simulator(SimulatorSettings(time_scale=0, caller_ids=frozenset({SOURCE}))) as simulator:
        client = Client(simulator)
        yield client
        client.http.close()


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic x", "simulator-api-key"])
def test_a_wrong_key_is_refused_everywhere(client, header):
    client.http.headers["Authorization"] = header

    replies = [client.request("GET", path) for path in ("/webhooks", "/speech-profiles", "/numbers")]

    assert {reply.status_code for reply in replies} == {401}
    assert {reply.json()["statusCode"] for reply in replies} == {401}


def test_another_subaccount_is_not_found(client):
    client.base = client.base.replace("ringpost_simulator", "other")

    reply = client.request("POST", "/callflows", json={})

    assert (reply.status_code, reply.json()["statusCode"]) == (404, 404)
    assert reply.json()["sessionStatus"] == "NOT_CREATED"


def test_webhooks_are_registered_listed_without_their_secret_and_removed(client):
    registration = {"type": "VSS", "url": "https://otp.example.com/vss", "httpAuthHeader": "Bearer s"}

    registered = client.request("POST", "/webhooks", json=registration)
    listed = client.request("GET", "/webhooks")
    again = client.request("POST", "/webhooks", json=registration)
    removed = client.request("DELETE", "/webhooks/VSS")
    gone = client.request("DELETE", "/webhooks/VSS")

    shown = {
        "type": "VSS",
        "url": "https://otp.example.com/vss",
        "enabled": True,
        "httpAuthHeaderAvailable": True,
    }
    subaccount = {"subAccountId": "ringpost_simulator"}
    assert registered.json() == {
        **subaccount,
        "count": 1,
        "webhooks": [shown],
        "statusCode": 0,
        "statusMessage": "ok",
    }
    assert listed.json() == registered.json()
    assert (again.status_code, again.json()["statusCode"]) == (422, "1001")
    assert removed.json() == {
        **subaccount,
        **shown,
        "enabled": False,
        "statusCode": 0,
        "statusMessage": "deleted",
    }
    assert gone.status_code == 422


def test_voices_and_numbers_are_listed(client):
    voices = client.request("GET", "/speech-profiles").json()
    numbers = client.request("GET", "/numbers").json()
    one = client.request("GET", "/numbers/6531580001")
    unknown = client.request("GET", "/numbers/+6599999999")

    assert voices["speechProfiles"][0] == {
        "speechProfileCode": "en-US-BenjaminRUS",
        "localeCode": "en-US",
        "localeDescription": "EnglishUS",
        "gender": "M",
    }
    assert [number["number"] for number in numbers["virtualNumbers"]] == [SOURCE]
    assert one.json()["operationalStatus"] == "Active"
    assert unknown.status_code == 404


def test_an_export_lists_the_calls_that_ended_as_csv(client):
    session_id = client.dial("+6581230001")
    period = {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z"}

    started = client.request("POST", "/messages/exports", json=period)
    path = f"/messages/exports/{started.json()['jobId']}"
    looks = [client.request("GET", path).json() for _ in range(3)]
    rows = list(csv.DictReader(io.StringIO(requests.get(looks[-1]["data"][0], timeout=5).text)))

    assert started.status_code == 202
    assert list(started.json()) == ["jobId"]
    assert [look["status"] for look in looks] == ["queued", "running", "succeeded"]
    assert [(row["SessionId"], row["SessionStatus"]) for row in rows] == [(session_id, "BUSY")]


def test_an_export_can_be_cancelled_and_an_unknown_one_has_its_own_code(client):
    job_id = client.request("POST", "/messages/exports").json()["jobId"]

    cancelled = client.request("DELETE", f"/messages/exports/{job_id}")
    status = client.request("GET", f"/messages/exports/{job_id}").json()["status"]
    unknown = client.request("GET", "/messages/exports/nope")

    assert (cancelled.status_code, status) == (204, "cancelled")
    assert (unknown.status_code, unknown.json()["code"], unknown.json()["message"]) == (
        404,
        4018,
        "Invalid jobId",
    )


def test_an_unreadable_export_request_is_refused(client):
    assert client.request("POST", "/messages/exports", json={"from": "soon"}).status_code == 400


def test_the_outcome_table_is_served(client):
    assert client.control("GET", "/outcomes").json()["outcomes"]["0001"] == ["busy"]


def test_faults_are_set_and_shown_over_http(client):
    put = client.control("PUT", "/faults", json={"rate_limited": {"count": 1}})
    client.request("POST", "/callflows", json={})

    shown = client.control("GET", "/faults").json()

    assert put.status_code == 200
    assert shown["faults"]["rate_limited"]["hits"] == 1


def test_one_number_gets_its_own_behaviour_and_faults(client):
    body = {"behaviours": ["no_answer"], "faults": {"vss_dropped": {"count": 1}}}

    reply = client.control("PUT", "/destinations/6581234567", json=body)
    client.dial(NUMBER)

    assert reply.json()["destination"] == NUMBER
    assert client.simulator.ledger.of(NUMBER)[0].session_status == "NO_ANSWER"
    assert NUMBER in client.control("GET", "/faults").json()["destinations"]


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("PUT", "/faults", {"vss_lost": True}, "unknown fault vss_lost"),
        ("PUT", "/faults", [], "must be an object"),
        ("PUT", "/destinations/+65", {"behaviours": ["bussy"]}, "unknown behaviour"),
        ("PUT", "/destinations/+65", {"behaviours": "busy"}, "list of names"),
        ("PUT", "/destinations/+65", {"behaviour": ["busy"]}, "unknown member behaviour"),
        ("PUT", "/key", {}, "apiKey"),
        ("POST", "/inbound", {"from": NUMBER}, "to:"),
    ],
)
def test_a_control_request_with_a_mistake_says_which(client, method, path, body, complaint):
    reply = client.control(method, path, json=body)

    assert reply.status_code == 400
    assert complaint in reply.json()["error"]


def test_the_key_changes_over_http(client):
    client.control("PUT", "/key", json={"apiKey": "new"})

    assert client.request("GET", "/webhooks").status_code == 401
    assert client.request("GET", "/webhooks", headers={"Authorization": "Bearer new"}).status_code == 200


def test_the_ledger_is_served_whole_for_one_number_and_as_figures(client):
    session_id = client.dial(NUMBER)
    client.dial(NUMBER)
    client.dial("+6581234568")

    one = client.control("GET", "/ledger", params={"destination": NUMBER}).json()["accepted"]
    everything = client.control("GET", "/ledger").json()["accepted"]
    figures = client.control("GET", "/ledger/summary").json()

    assert (len(one), len(everything)) == (2, 3)
    assert one[0]["sessionId"] == session_id
    assert one[0]["body"]["callflow"][0]["action"] == "makeCall"
    assert figures["destinationsDialledMoreThanOnce"] == {NUMBER: 2}
    assert figures["sessionsByStatus"] == {"COMPLETED": 3}


def test_a_reset_over_http_empties_the_ledger(client):
    client.dial()

    client.control("POST", "/reset")

    assert client.control("GET", "/ledger/summary").json()["accepted"] == 0


def test_the_simulator_runs_as_a_process_and_stops_on_a_signal():
    command = [sys.executable, "-m", "deploy.simulator", "--json-options", '{"subaccount_id": "acme_voice"}']

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        served = requests.get(f"{line.split()[-1]}/sim/outcomes", timeout=5)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=5)

    assert line.startswith("simulator listening on http://127.0.0.1:")
    assert served.status_code == 200
    assert code == 0


@pytest.mark.parametrize("options", ["{", '{"time": 1}', '{"faults": {"x": true}}'])
def test_the_process_refuses_options_it_does_not_know(options):
    finished = CliRunner().invoke(main, ["--json-options", options])

    assert finished.exit_code == 2
    assert "Error:" in finished.output


def test_a_taken_port_is_reported_at_once():
    with Simulator() as simulator:
        port = int(simulator.url.rsplit(":", 1)[1])

        with pytest.raises(OSError, match="in use"), Simulator(SimulatorSettings(port=port)):
            pass


EVER = {"from": "2020-01-01T00:00:00Z", "to": "2040-01-01T00:00:00Z"}


def exported(client, *, looks=3):
    """The last look at a new job over all calls."""
    job_id = client.request("POST", "/messages/exports", json=EVER).json()["jobId"]
    return [client.request("GET", f"/messages/exports/{job_id}") for _ in range(looks)][-1]


def files_of(look):
    return [requests.get(url, timeout=5).content.decode() for url in look.json()["data"]]


def test_an_export_can_be_refused_with_a_wait(client):
    client.simulator.set_fault("export_refused", code=429, retry_after_s=30, count=1)

    refused = client.request("POST", "/messages/exports", json=EVER)
    taken = client.request("POST", "/messages/exports", json=EVER)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert taken.status_code == 202


def test_an_export_can_end_badly_or_be_forgotten(client):
    client.dial()
    client.simulator.set_fault("export_ends", word="error", count=1)
    ended = exported(client).json()["status"]
    client.simulator.set_fault("export_gone", count=1)

    gone = exported(client, looks=1)

    assert (ended, gone.status_code) == ("error", 404)


def test_calls_can_be_listed_late(client):
    client.dial()
    client.simulator.set_fault("export_late", seconds=60, count=1)

    assert [exported(client).json()["status"] for _ in range(2)] == ["empty", "succeeded"]


def test_an_export_can_come_in_several_files_of_another_shape(client):
    ids = {client.dial(), client.dial("+6581230001"), client.dial("+6581230002")}
    client.simulator.set_fault("export_split", copies=2)
    client.simulator.set_fault("export_drifted")

    files = files_of(exported(client))

    rows = [row for content in files for row in csv.DictReader(io.StringIO(content.removeprefix("\ufeff")))]
    assert len(files) == 2
    assert {content.partition("\r\n")[0].rpartition(",")[2] for content in files} == {"Carrier Note"}
    assert {row["Session Id"] for row in rows} == ids


def test_a_file_can_lack_a_column_or_its_end(client):
    client.dial()
    look = exported(client)
    (whole,) = files_of(look)
    client.simulator.set_fault("export_cut", count=1)
    (cut,) = files_of(look)
    client.simulator.set_fault("export_narrow", count=1)
    (narrow,) = files_of(look)

    assert len(list(csv.reader(io.StringIO(whole)))[-1]) > len(list(csv.reader(io.StringIO(cut)))[-1])
    assert "DestinationEndpoint" not in narrow
