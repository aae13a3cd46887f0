"""The statuses and the moves between them as a drawing, from :data:`shared.lifecycle.TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shared.lifecycle import FINALS, IN_FLIGHT, TRANSITIONS, WAITING, Status

_WIDTH, _HEIGHT = 760, 430
_NODE_W, _NODE_H = 124, 30
#: Upper left corners.
_PLACES: Final[Mapping[str, tuple[int, int]]] = {
    Status.SCHEDULED: (16, 90),
    Status.QUEUED: (16, 200),
    Status.DIALING: (256, 80),
    Status.DIAL_UNKNOWN: (256, 140),
    Status.PLACED: (256, 200),
    Status.ANSWERED: (256, 260),
    Status.DELIVERED: (596, 50),
    Status.NO_ANSWER: (596, 90),
    Status.BUSY: (596, 130),
    Status.CANCELED: (596, 170),
    Status.FAILED: (596, 210),
    Status.EXPIRED: (596, 250),
    Status.BLOCKED: (596, 290),
    Status.UNDETERMINED: (596, 376),
}
#: Frames around several statuses: x, y, width, height, and what is written above.
_CALL, _END = "call", "end"
_FRAMES: Final[Mapping[str, tuple[int, int, int, int, str]]] = {
    _CALL: (240, 66, 156, 238, "a phone may ring"),
    _END: (580, 36, 156, 298, "final"),
}
_ENDS: Final = FINALS - {Status.UNDETERMINED}
_STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1c2126; }
.note { font-size: 11px; fill: #59636e; }
rect { fill: #fff; stroke: #59636e; }
.frame { fill: #f4f6f8; stroke: #d3d9df; }
.arrow { fill: none; stroke: #0b5cad; stroke-width: 1.4; marker-end: url(#head); }
.head { fill: #0b5cad; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e8ec; } .note { fill: #9aa5b1; }
  rect { fill: #15191d; stroke: #9aa5b1; } .frame { fill: #1f252b; stroke: #39424c; }
  .arrow { stroke: #6cb2f7; } .head { fill: #6cb2f7; }
}
"""
_HEAD: Final = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" \
role="img" aria-label="Statuses of a message and the moves between them">
<style>{_STYLE}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>"""


def moves() -> dict[tuple[str, str], set[Status]]:
    """
    Arrows: from a status or frame to a status or frame, with the statuses that they lead to.

    What leads on from every status of a call is drawn once, from its frame; what leads to ends, once a source.
    """
    arrows: dict[tuple[str, str], set[Status]] = {}
    common = {step.target for step in TRANSITIONS.values() if step.sources >= IN_FLIGHT}
    for step in TRANSITIONS.values():
        sources: set[str] = set(step.sources)
        if step.target in common:
            sources = (sources - IN_FLIGHT) | ({_CALL} if step.sources & IN_FLIGHT else set())
        target = _END if step.target in _ENDS else step.target
        for source in sources:
            arrows.setdefault((source, target), set()).add(step.target)
    return arrows


def svg() -> str:
    """The drawing, which follows the reader's colour scheme."""
    return "\n".join((_HEAD, *_frames(), *_arrows(), *_nodes(), "</svg>\n"))


def _frames() -> Iterator[str]:
    for x, y, width, height, title in _FRAMES.values():
        yield f'<rect class="frame" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
        yield f'<text class="note" x="{x + width / 2}" y="{y - 6}" text-anchor="middle">{title}</text>'


def _nodes() -> Iterator[str]:
    for status, (x, y) in _PLACES.items():
        yield f'<rect x="{x}" y="{y}" width="{_NODE_W}" height="{_NODE_H}" rx="6"/>'
        yield f'<text x="{x + _NODE_W / 2}" y="{y + 20}" text-anchor="middle">{status}</text>'


def _arrows() -> Iterator[str]:
    for (source, target), led_to in sorted(moves().items()):
        path, (x, y) = _path(source, target)
        yield f'<path class="arrow" d="{path}"/>'
        if target == _END and source in WAITING:
            names = ", ".join(status for status in Status if status in led_to)
            yield f'<text class="note" x="{x}" y="{y}" text-anchor="middle">{names}</text>'


def _box(name: str) -> tuple[int, int, int, int]:
    """x, y, width and height."""
    if name in _FRAMES:
        return _FRAMES[name][:4]
    return (*_PLACES[name], _NODE_W, _NODE_H)


def _path(source: str, target: str) -> tuple[str, tuple[float, float]]:
    """A line from one box to the other, and where to write beside it."""
    if target == _END and source in WAITING:
        return _around(source)
    x, y, width, height = _box(source)
    to_x, to_y, to_width, to_height = _box(target)
    middle, to_middle, right = y + height / 2, to_y + to_height / 2, x + width
    if target in FINALS and source in WAITING:  # below the frames
        at = x + width / 3
        path = f"M{at} {y + height}C{at} {to_middle} {at + 40} {to_middle} 240 {to_middle}H{to_x}"
    elif (source, target) == (_CALL, _END):
        path = f"M{right} {middle}H{to_x}"
    elif right <= to_x:
        path = f"M{right} {middle}C{right + 60} {middle} {to_x - 60} {to_middle} {to_x} {to_middle}"
    elif to_x + to_width <= x:  # back to the left, apart from what goes to the right
        begin, end, edge = middle + 22, to_middle + 8, to_x + to_width
        path = f"M{x} {begin}C{x - 50} {begin} {edge + 50} {end} {edge} {end}"
    elif target in _FRAMES or abs(y - to_y) <= 2 * _NODE_H:  # a neighbour
        foot, head = (y + height, to_y) if y < to_y else (y, to_y + to_height)
        path = f"M{x + width / 2} {foot}V{head}"
    else:
        path = f"M{right} {middle}C{right + 34} {middle} {right + 34} {to_middle} {right} {to_middle}"
    return path, (0, 0)


def _around(source: str) -> tuple[str, tuple[float, float]]:
    """From what waits to its ends, over or under the frame of the call."""
    x, y, width, height = _box(source)
    end_x, end_y, _, end_height = _FRAMES[_END][:4]
    begin, is_over = x + width / 2, y < _box(_CALL)[1] + _box(_CALL)[3] / 2
    if is_over:
        top, rail, land, beside = y, 26, end_y + 18, 18
    else:
        top, rail, land, beside = y + height, 330, end_y + end_height - 14, 346
    path = f"M{begin} {top}C{begin} {rail} {begin + 60} {rail} 220 {rail}H500C540 {rail} 540 {land} {end_x} {land}"
    return path, (320, beside)
