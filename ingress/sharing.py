"""What ingress processes tell each other of :mod:`ingress.velocity`, through Redis, by a thread of its own."""

from __future__ import annotations

import threading
from typing import Any, Final

import redis
import structlog
from pydantic_core import from_json, to_json

from ingress.velocity import MOST_MOMENTS, Untold, Velocity

#: What came gathers for so long, in seconds: so long the others do not know of it.
GATHERING_S: Final = 0.2
#: While Redis fails, it is tried this often, in seconds.
_AWAY_S: Final = 2.0
_NAMESPACE: Final = "ringpost:velocity:"

#: Of a number: its moments, in one text. Of a count: its sum. Telling the same moment again changes nothing.
_TELL: Final = """
local told, answer = cjson.decode(ARGV[1]), {moments = {}, counts = {}}
for place, one in ipairs(told.moments) do
  local known, seen = {}, false
  for moment in string.gmatch(redis.call('GET', ARGV[2] .. one[1]) or '', '%d+') do
    local number = tonumber(moment)
    seen = seen or number == one[2]
    if number > one[2] - one[3] * 1000 then table.insert(known, number) end
  end
  if not seen then table.insert(known, one[2]) end
  table.sort(known)
  local text = {}
  for i = math.max(1, #known - tonumber(ARGV[3]) + 1), #known do
    table.insert(text, string.format('%.0f', known[i]))
  end
  text = table.concat(text, ' ')
  redis.call('SET', ARGV[2] .. one[1], text, 'EX', one[3])
  answer.moments[place] = text
end
for place, one in ipairs(told.counts) do
  local name = ARGV[2] .. one[1] .. ':' .. one[3]
  local total = redis.call('INCRBY', name, one[4])
  if total == one[4] then redis.call('EXPIRE', name, 2 * one[2]) end
  answer.counts[place] = total
end
return cjson.encode(answer)
"""

log = structlog.get_logger()


class Sharing:
    """Tells what is untold, a few times a second, and hears what the others have."""

    def __init__(self, velocity: Velocity, client: redis.Redis) -> None:
        """
        Args:
            velocity: Of this process.
            client: With a short timeout.
        """
        self._velocity = velocity
        self._tell = client.register_script(_TELL)
        self._is_away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="velocity", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell what is left, and end the thread."""
        self._stop.set()
        self._thread.join(2)

    def tell(self) -> None:
        """One round now."""
        untold = self._velocity.untold()
        if not untold.moments and not untold.counts:
            return
        try:
            answer = self._send(untold)
        except redis.RedisError as error:
            if not self._is_away:
                log.warning("velocity_not_shared", error=type(error).__name__)
            self._is_away = True
            self._velocity.tell_again(untold.moments)
            return
        self._is_away = False
        self._hear(untold, answer)

    def _send(self, untold: Untold) -> dict[str, Any]:
        moments = [
            (number.hex(), moment, max(seconds for _, seconds in limits)) for number, moment, limits in untold.moments
        ]
        told = {"moments": moments, "counts": untold.counts}
        answer: dict[str, Any] = from_json(self._tell(args=[to_json(told), _NAMESPACE, MOST_MOMENTS]))
        return answer

    def _hear(self, untold: Untold, answer: dict[str, Any]) -> None:
        for (number, _, limits), text in zip(untold.moments, answer["moments"], strict=True):
            self._velocity.hear_moments(number, map(int, text.split()), limits)
        for (name, period_s, place, _), total in zip(untold.counts, answer["counts"], strict=True):
            self._velocity.hear_count(name, period_s, place, total)

    def _run(self) -> None:
        while not self._stop.wait(_AWAY_S if self._is_away else GATHERING_S):
            self._round()
        self._round()

    def _round(self) -> None:
        try:
            self.tell()
        except Exception:  # the limits hold by what this process knows
            log.exception("velocity_failed")
