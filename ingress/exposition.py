"""Figures in the words of Prometheus."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from shared.alarms import ALARMS, ringing
from shared.counters import BUCKETS_S
from shared.metrics import METRICS, SERIES, Kind, Metric

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

_BOUNDS: Final = (*map(str, BUCKETS_S), "+Inf")


def exposition(figures: Mapping[str, Any], accepted: str = "") -> tuple[bytes, str]:
    """
    The figures as Prometheus reads them, and their content type; those that are not known are left out.

    Args:
        figures: Of :mod:`shared.vitals`.
        accepted: The request's Accept; OpenMetrics for whoever asks for it.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Figures(Collector):
        def collect(self) -> Iterable[Family]:
            return _families(figures)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures())
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


def _families(figures: Mapping[str, Any]) -> Iterator[Family]:
    known = {**figures, "alarm": _alarms(figures)}
    for metric in METRICS:
        if metric.series is not None:
            yield _counted(metric, figures.get("counted", {}).get(metric.series, ()))
        elif (value := known.get(metric.figure)) is not None:
            family = _family(metric)
            for labels, one in _samples(metric.labels, value):
                family.add_metric(labels, one)
            yield family


def _family(metric: Metric) -> Any:  # of the three kinds
    from prometheus_client import core

    kinds = {
        Kind.GAUGE: core.GaugeMetricFamily,
        Kind.COUNTER: core.CounterMetricFamily,
        Kind.HISTOGRAM: core.HistogramMetricFamily,
    }
    return kinds[metric.kind](metric.name, metric.meaning, labels=metric.labels)


def _alarms(figures: Mapping[str, Any]) -> dict[str, int]:
    names = {name for name, _ in ringing(figures)}
    return {alarm.name: int(alarm.name in names) for alarm in ALARMS}


def _samples(names: Sequence[str], value: Any) -> Iterator[tuple[Sequence[str], float]]:
    """Values of labels, and the value: of a number, of numbers by one label, or of rows with labels and a number."""
    if isinstance(value, Mapping):
        yield from (((key,), one) for key, one in value.items())
    elif isinstance(value, list):
        for row in value:
            ((_, one),) = ((name, part) for name, part in row.items() if name not in names)
            yield [row[name] for name in names], one
    else:
        yield (), value


def _counted(metric: Metric, rows: Sequence[Mapping[str, Any]]) -> Any:
    """What processes counted, summed up over the labels that the metric has not."""
    family = _family(metric)
    assert metric.series is not None
    places = [SERIES[metric.series].index(label) for label in metric.labels]
    sums: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        labels = tuple(row["labels"][place] for place in places)
        so_far = sums.setdefault(labels, [0.0] * len(row["amounts"]))
        sums[labels] = [one + more for one, more in zip(so_far, row["amounts"], strict=True)]
    for labels, amounts in sums.items():
        counts = amounts[:-1] or amounts  # behind a histogram's buckets stand its seconds
        if metric.kind is Kind.HISTOGRAM:
            buckets = list(zip(_BOUNDS, itertools.accumulate(counts), strict=True))
            family.add_metric(labels, buckets, amounts[-1])
        else:
            family.add_metric(labels, sum(counts))
    return family
