"""8x8's webhooks: how fast they are acknowledged, each kept by PostgreSQL before its 200."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deploy.bench.figures import median, ratio
from deploy.bench.load.ledger import Report
from deploy.bench.result import Measured
from deploy.bench.rivals import floor, wsgi_floor
from deploy.bench.scene import Scene
from deploy.bench.stage import TOKEN

_ROUNDS: Final = 3
_CONNECTIONS: Final = 64
_FEW_CONNECTIONS: Final = 16
_NUMBERS: Final = (
    '"source":"+6531580001","destination":"+{phone}","sourceCountryCode":"SG","destinationCountryCode":"SG"'
)

#: Of a session that nobody knows: what is measured is the keeping.
_VSS: Final = (
    '{"payload":{"sessionId":"{id}","subAccountId":"bench_voice","sessionStatus":"COMPLETED","startTime":'
    '"2026-10-05T09:12:10Z","endTime":"2026-10-05T09:12:23Z","lastAction":"SAY","callCount":1,"details":{"callA":{'
    '"callId":"leg-{id}","callDirection":"OUTBOUND","callType":"PSTN",' + _NUMBERS + ',"callStatus":"COMPLETED",'
    '"callDuration":13}}},"namespace":"VOICE","eventType":"SESSION_SUMMARY","description":"Summary of a session"}'
)
_VCA: Final = (
    '{"payload":{"eventId":"event-{id}","callId":"leg-{id}","sessionId":"{id}","subAccountId":"bench_voice",'
    '"callStatus":"ACTION_COMPLETED","callDirection":"OUTBOUND","callType":"PSTN",' + _NUMBERS + ',"callDuration":0,'
    '"eventData":{"dtmf":"1"},"sipCode":200,"timestamp":"2026-10-05T09:12:10.000Z"},"namespace":"VOICE",'
    '"eventType":"CALL_ACTION","description":"Action request of a call"}'
)


def webhooks(scene: Scene) -> Measured:
    """Two ingress processes, the workers stopped; against the same route and body with nothing stored."""
    measured = Measured("webhooks", "8x8's webhooks, two ingress processes")
    stage, count = scene.stage, scene.count(2000, 6000)
    stage.start_web()
    stage.stop_workers()

    def sender(url: str, body: str, connections: int) -> Callable[[], Report]:
        headers = {"Authorization": TOKEN}
        return lambda: scene.through(url, count, headers, until="accepted", body=body, connections=connections)

    with floor(stage) as bottom, wsgi_floor(stage) as wsgi:
        done = scene.alternated(
            _ROUNDS,
            {
                "vss": sender(stage.vss_url, _VSS, _CONNECTIONS),
                "floor": sender(bottom.vss_url, _VSS, _CONNECTIONS),
                "wsgi": sender(wsgi.vss_url, _VSS, _CONNECTIONS),
                "vca": sender(f"{stage.url}/api/webhooks/vca", _VCA, _FEW_CONNECTIONS),
            },
        )
    rates = {who: median(report.rates["accepted"] for report in reports) for who, reports in done.items()}
    measured.add("of_floor", "VSS acknowledged, of what stores nothing", ratio(rates["vss"], rates["floor"]))
    measured.add("vss", "VSS at 64 connections", rates["vss"], "/s")
    measured.add("floor", "nothing stored, on the same server", rates["floor"], "/s")
    measured.add("wsgi", "nothing stored, plain Flask on WSGI", rates["wsgi"], "/s")
    measured.add("vca", "VCA at 16 connections", rates["vca"], "/s")
    for share in ("p50", "p99"):
        value = median(getattr(report.latency("accept"), share) for report in done["vca"])
        measured.add(f"vca_{share}", f"VCA at 16 connections, {share}", value, "ms")
    stage.clear()
    return measured
