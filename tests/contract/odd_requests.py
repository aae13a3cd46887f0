"""Requests that nobody should send, by the thousands: sound ones, and what comes of them by one change or another."""

import json
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

SAMPLES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "samples").glob("*.json"))}
ODD_TEXTS = (
    "", " ", "\0", "\x7f", "\ud800", "\udfff\ud800", "\u202e", "x" * 5000, "\u0661\u0662\u0663", "\uff11\uff12\uff13",
    "é" * 129,
    "Your code is {code}", "{", "{code", "<speak>1</speak>", "+65\uff181234567", "+6581234567",
    "2026-13-40T25:61:61Z",
    "2030-02-30T00:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "' OR 1=1 --",
    "%00", "../..",
    "🂡" * 40, "a\r\nX-Odd: 1", "null", "NaN", "msg_" + "0" * 26,
)  # fmt: skip
ODD_VALUES = (
    *ODD_TEXTS, None, True, False, 0, -1, 1, 2, 10**18, 10**400, -0.0, 1.5, 2.0, 1e308, [], {}, [[]], [None], {"": ""},
    {"a": {"b": [1]}}, {"maxAttempts": 9}, {"onUnknown": "redial", "x": 1}, ["otp"], {str(n): "x" for n in range(11)},
)  # fmt: skip
#: JSON by hand, as no encoder writes it.
ODD_JSON = (
    b"NaN", b"-Infinity", b"1e999", b"-1e999", b"1" * 5000, b"-", b"01", b"1.", b".5", b"0x1", b"+1", b"1_0",
    "١٢".encode(), b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\x00"', b'"\xff"', b"'x'", b'"\\x41"', b"[1,]",
    b"{,}", b"/**/1", b"True", b"nul", b"[" * 25 + b"]" * 25, b"[" * 6000 + b"]" * 6000, b"[" * 6000,
    b'{"a":' * 2000 + b"1" + b"}" * 2000, b'"' + b"x" * 9000 + b'"', b'"\xed\xa0\x80"', b'"\\ud83d\\ude00"',
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037")
TYPES = (
    "application/json; charset=utf-16", "application/json; charset=latin-1", "application/json;charset=x;charset=y",
    "text/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a/b/c", ";",
    "*/*",
    "application/vnd.api+json", "APPLICATION/JSON", "application/json, application/json",
)  # fmt: skip
MEMBERS = (
    "messageId", "customerPhone", "message", "repetition", "type", "ttlSeconds", "expiresAt", "code", "language",
    "voice", "speed", "from", "interruptible", "redial", "scheduledAt", "callbackUrl", "metadata",
)  # fmt: skip
IDS = (
    "msg_" + "0" * 26,
    "key_" + "0" * 26,
    "ep_" + "0" * 26,
    "x",
    "%00",
    "%ff",
    "..",
    "%2e%2e%2f",
    "msg_%D9%A0",
    "a" * 3000,
)
QUERIES = (
    "status", "type", "mode", "country", "since", "until", "last4", "limit", "after", "messageId", "wait", "state",
    "x", "", "%00", "after[]",
)  # fmt: skip
QUERY_VALUES = (
    "", "0", "1", "200", "201", "-1", "1e3", "0" * 5000 + "1", "000000001" + "9" * 5000, "1" * 5000, "%D9%A1", "%00",
    "%ff", "%ed%a0%80", "otp", "otp,alert", ",", "delivered,", "test", "live", "SG", "sg,MY", "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00+08:00", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "9" * 300, "4567", "%",
    "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", "====", "x" * 4000, "OTP1", "'%20OR%201=1",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get")
PATHS = (
    "/api/make-call", "/api/make-calls", "/v1/messages", "/v1/suppressions", "/v1/keys", "/v1/endpoints", "/v1/events",
    "/healthz", "/metrics", "/openapi.json", "/api/webhooks/vca", "/api/webhooks/vss", "/", "/api", "//",
    "/api/make-call/", "/v1", "/v1/messages/", "/api/webhooks/vxx", "/%00", "/%ff", "/v1/../healthz", "/static/x",
    "/api//make-call",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """One request; ``pieces`` tells how its body travels: whole, in chunks of one byte, or a byte at a time."""

    method: str
    target: str
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    pieces: str = "whole"

    @property
    def path(self):
        return urllib.parse.unquote(self.target.partition("?")[0], errors="replace")


class Oddities:
    """Draws requests; the same *random* draws the same."""

    def __init__(self, random, provider, webhooks):
        self.random = random
        self.provider = {"Authorization": provider}
        self.webhooks = {"Authorization": webhooks}
        self._count = 0

    def call(self):
        """One make-call request."""
        headers = self.provider | {"Content-Type": "application/json"}
        body = self._changed(self._sound_call(), MEMBERS)
        if self.random.random() < 0.05:
            headers["Content-Type"] = self.random.choice(TYPES)
        return Asked("POST", "/api/make-call", body, headers, self._pieces(body))

    def webhook(self, kind):
        """One of 8x8's reports, more or less."""
        stems = [stem for stem in SAMPLES if stem.startswith(kind)]
        sound = json.loads(SAMPLES[self.random.choice(stems)])
        inner = sound.get("payload")
        if isinstance(inner, dict) and self.random.random() < 0.8:
            self._count += 1
            inner["sessionId"] = f"fuzz-{self._count}"
            sound["payload"] = self._plainly_changed(inner)
        body = self._changed(sound, tuple(sound))
        headers = self.webhooks | {"Content-Type": self.random.choice(("application/json", "text/plain", ""))}
        return Asked("POST", f"/api/webhooks/{kind}", body, headers, self._pieces(body))

    def other(self):
        """Any other route, or none."""
        headers = self.provider | {"Content-Type": "application/json"}
        draw = self.random.choice(
            (
                self._query,
                self._batch,
                self._outcome,
                self._suppression,
                self._key,
                self._endpoint,
                self._nowhere,
            )
        )
        method, target, body = draw()
        if self.random.random() < 0.05:
            headers["Authorization"] = self.random.choice(
                ("", "Basic", "Basic !!!", "Bearer \xff", "Basic " + "A" * 5000)
            )
        return Asked(method, target, body, headers, "whole")

    def _sound_call(self):
        self._count += 1
        draw = self.random
        call = {
            "messageId": f"fuzz-{self._count}",
            "customerPhone": f"+659{draw.randrange(10**7):07}",
            "message": draw.choice(("Your code is {code}.", "Grüße, 1 2 3", "안녕 " * 20, "x" * 800)),
        }
        extra = {
            "repetition": draw.randint(1, 10), "type": draw.choice(("otp", "alert", "notification")), "ttlSeconds": 600,
            "code": "48A9", "language": "en-US", "speed": draw.choice((1, 0.5, 2.0)), "from": "+6531580001",
            "interruptible": True, "redial": {"maxAttempts": 3}, "scheduledAt": None, "metadata": {"order": "7"},
        }  # fmt: skip
        call |= {name: extra[name] for name in draw.sample(sorted(extra), draw.randint(0, 4))}
        if "{code}" in call["message"]:
            call["code"] = "4711"
        return call

    def _plainly_changed(self, members):
        """One member more, less or another, as any encoder could write it."""
        changed, draw = dict(members), self.random
        for _ in range(draw.choice((0, 1, 1, 2, 4))):
            name = draw.choice((*members, *members, "x", "", "payload", "\0", "y" * 500))
            if draw.random() < 0.25:
                changed.pop(name, None)
            else:
                changed[name] = draw.choice(ODD_VALUES)
        return changed

    def _changed(self, sound, names):
        draw = self.random
        whole = json.dumps(sound).encode()
        way = draw.choice(
            ("sound", "members", "members", "members", "spelled", "spelled", "twice", "bytes", "other", "coded")
        )
        if way == "members":
            known = {name: sound.get(name) for name in names}
            changed = self._plainly_changed(known)
            kept = {name: one for name, one in changed.items() if name in sound or one is not known.get(name)}
            return json.dumps(kept, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
        if way == "spelled":
            name = json.dumps(draw.choice((*names, "x"))).encode()
            return whole[:-1] + b", " + name + b": " + draw.choice(ODD_JSON) + b"}"
        if way == "twice":
            name = draw.choice(list(sound))
            return whole[:-1] + b", " + json.dumps({name: sound[name]}).encode()[1:]
        if way == "bytes":
            raw = bytearray(whole)
            for _ in range(draw.choice((1, 1, 2, 5))):
                at = draw.randrange(len(raw) + 1)
                raw[at : at + draw.choice((0, 1, 1, 30))] = draw.choice(
                    (b"", b"\0", b"\xff", b'"', b"{", b"}", b"\\u", b"9")
                )
            return bytes(raw)
        if way == "other":
            return draw.choice((*ODD_JSON, b"", b"true", b"null", b"1", b'"x"', b"[]", b"[{}]", b"{}", b"x" * 20_000))
        if way == "coded":
            return whole.decode().encode(draw.choice(ENCODINGS))
        return whole

    def _pieces(self, body):
        chance = self.random.random()
        if len(body) < 1500 and chance < 0.04:
            return "chunks" if chance < 0.02 else "bytes"
        return "whole"

    def _query(self):
        draw = self.random
        id_ = draw.choice(IDS)
        path = draw.choice(
            (
                "/v1/messages",
                "/v1/messages",
                "/v1/suppressions",
                "/v1/events",
                f"/v1/messages/{id_}",
                f"/v1/endpoints/{id_}/deliveries",
            )
        )
        pairs = [f"{draw.choice(QUERIES)}={draw.choice(QUERY_VALUES)}" for _ in range(draw.choice((0, 1, 1, 2, 3)))]
        return "GET", f"{path}?{'&'.join(pairs)}".removesuffix("?"), b""

    def _batch(self):
        calls = [self._plainly_changed(self._sound_call()) for _ in range(self.random.randint(1, 3))]
        calls += self.random.choice(([], [None], [1, "x", []], [{}] * 30))
        return "POST", "/api/make-calls", self._changed({"calls": calls}, ("calls",))

    def _outcome(self):
        target = f"/v1/messages/{self.random.choice(IDS)}/outcome"
        return "POST", target, self._changed({"verified": True}, ("verified",))

    def _suppression(self):
        sound = {"number": f"+658{self.random.randrange(10**7):07}", "reason": "asked"}
        body = self._changed(sound, ("number", "reason"))
        if self.random.random() < 0.1:
            body = json.dumps({f"{n}{'x' * 150}": n for n in range(90)}).encode()
        return self.random.choice(("POST", "DELETE")), "/v1/suppressions", body

    def _key(self):
        draw = self.random
        target = draw.choice(("/v1/keys", f"/v1/keys/{draw.choice(IDS)}/revoke"))
        return (
            "POST",
            target,
            self._changed({"mode": "test", "name": "x", "expiresAt": None}, ("mode", "name", "expiresAt")),
        )

    def _endpoint(self):
        draw = self.random
        id_ = draw.choice(IDS)
        method, target = draw.choice(
            (("POST", "/v1/endpoints"), ("PATCH", f"/v1/endpoints/{id_}"), ("POST", f"/v1/endpoints/{id_}/recover"))
        )
        if target.endswith("/recover"):
            sound = {"since": "2026-01-01T00:00:00Z", "until": None, "dryRun": True}
        else:
            sound = {"url": f"https://fuzz.example/{draw.randrange(20)}", "events": ["message.failed"]}
        return method, target, self._changed(sound, tuple(sound))

    def _nowhere(self):
        draw = self.random
        method, path = draw.choice(METHODS), draw.choice(PATHS)
        if draw.random() < 0.3:
            kind, rest = (
                draw.choice(("keys", "endpoints", "messages", "deliveries")),
                draw.choice(("", "/x", "/secret/rotate", "/deliveries", "/resend")),
            )
            path = f"/v1/{kind}/{draw.choice(IDS)}{rest}"
        return method, path, b"{}" if method in ("PUT", "PATCH") else b""
