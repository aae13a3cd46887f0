"""What a call would say and how long it would take, without any call."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from flask import Blueprint, Response, request
from pydantic_core import to_json

from ingress import bodies
from ingress.call_request import CallRequest
from ingress.intake import Sound
from ingress.lean import json_answer
from ingress.site import Site
from shared import speech, unmarked_codes
from shared.spelling import spell

#: Stands for the messageId that a preview needs none of.
_NO_ID: Final = "preview"
#: The language of a voice's code, which goes on with the voice's name: en-US-BenjaminRUS, zh-CN-liaoning-XiaobeiNeural.
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?=-)(-[A-Za-z]{4}(?=-))?(-([A-Z]{2}|[0-9]{3})(?=-))?")
_MOST_CODES: Final = 3


def preview_routes(site: Site) -> Blueprint:
    """POST /v1/preview."""
    routes = Blueprint("preview", __name__)

    @routes.post("/v1/preview")
    def preview() -> Response:
        owner = site.providers.owner(request)
        body = bodies.parse(bodies.read(request, bodies.CALL_LIMIT))
        if isinstance(body, dict):
            body = {"messageId": _NO_ID} | body
        call = site.templates.fill(site.intake.read(body), owner)
        sound = site.intake.checked(call, owner, site.voices.value)
        language = site.voices.value.offered.get(sound.voice) or language_of_voice(sound.voice)
        return json_answer(to_json(_shown(call, sound, language)))

    return routes


def language_of_voice(voice: str) -> str | None:
    """The BCP 47 tag that the code of a speech profile begins with, if it does."""
    found = _TAG.match(voice)
    return found[0] if found else None


def _shown(call: CallRequest, sound: Sound, language: str | None) -> dict[str, Any]:
    # Of what is told, rounded up as the estimate is.
    seconds = math.ceil(10 * speech.seconds_per_play(sound.text, call.speed, sound.voice)) / 10
    return {
        "text": sound.text,
        "language": language,
        "voice": sound.voice,
        "plays": call.plays,
        "speed": call.speed,
        "secondsPerPlay": seconds,
        "totalSeconds": round(seconds * call.plays, 1),
        "country": sound.number.country,
        "to": sound.number.masked,
        "warnings": [*sound.warnings, *_of_codes(call, sound.voice)],
    }


def _of_codes(call: CallRequest, voice: str) -> list[str]:
    """A warning for each number of the text that seems to be a code, unless the code came as one."""
    if call.code is not None:
        return []
    codes = dict.fromkeys(unmarked_codes.find(call.message or ""))
    return [
        "message: has what looks like a code, which would be spoken as a number; send it as code, with {code} in the"
        f' message, and it is spoken "{spell(code, voice)}".'
        for code in list(codes)[:_MOST_CODES]
    ]
