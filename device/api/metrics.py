"""Metrics as values, independent of the text they become."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class MetricKind(Enum):
    """The types of OpenMetrics that a device has use for."""

    GAUGE = "gauge"
    COUNTER = "counter"
    INFO = "info"
    STATESET = "stateset"
    """One of several states; each has a sample whose label of the family's name names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number, told apart from the others of its family by its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """Numbers of one meaning. ``name`` ends in ``unit`` if there is one, and has neither
    ``_total`` nor ``_info`` at its end: OpenMetrics wants those added to the samples."""

    name: str
    kind: MetricKind
    help: str
    unit: str = ""
    samples: tuple[Sample, ...]
