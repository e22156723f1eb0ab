"""Metrics as OpenMetrics text, version 1.0.0 (the OpenMetrics specification, "Text format")."""

import re
from collections.abc import Iterable, Iterator

from device.api.metrics import MetricFamily, MetricKind, Sample

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SUFFIX = {MetricKind.COUNTER: "_total", MetricKind.INFO: "_info"}
_RESERVED = ("_total", "_created", "_count", "_sum", "_bucket", "_gcount", "_gsum", "_info")


def text_of(families: Iterable[MetricFamily]) -> str:
    """The families in one document. :exc:`ValueError` if a name is not allowed or there twice."""
    lines: list[str] = []
    names: set[str] = set()
    for family in families:
        _check(family)
        if family.name in names:
            raise ValueError(f"the metric {family.name} is there twice")
        names.add(family.name)
        lines += _lines(family)
    return "".join(f"{line}\n" for line in [*lines, "# EOF"])


def _lines(family: MetricFamily) -> Iterator[str]:
    yield f"# TYPE {family.name} {family.kind.value}"
    if family.unit:
        yield f"# UNIT {family.name} {family.unit}"
    yield f"# HELP {family.name} {_escaped(family.help)}"
    name = family.name + _SUFFIX.get(family.kind, "")
    for sample in family.samples:
        yield f"{name}{_labels(sample)} {_number(sample.value)}"


def _labels(sample: Sample) -> str:
    if not sample.labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def _check(family: MetricFamily) -> None:
    if not _NAME.fullmatch(family.name) or family.name.endswith(_RESERVED):
        raise ValueError(f"{family.name!r} is no name for a metric")
    if family.unit and not family.name.endswith(f"_{family.unit}"):
        raise ValueError(f"{family.name} must end in its unit, _{family.unit}")
    if family.kind in (MetricKind.INFO, MetricKind.STATESET) and family.unit:
        raise ValueError(f"{family.name} can have no unit")
    seen = set()
    for sample in family.samples:
        if not all(_LABEL.fullmatch(name) for name in sample.labels):
            raise ValueError(f"{family.name} has a label that is no name")
        if family.kind is MetricKind.STATESET and family.name not in sample.labels:
            raise ValueError(f"{family.name} needs a label of its own name")
        if family.kind is MetricKind.COUNTER and not sample.value >= 0:
            raise ValueError(f"{family.name} counts, so it cannot be {sample.value}")
        seen.add(tuple(sorted(sample.labels.items())))
    if len(seen) != len(family.samples):
        raise ValueError(f"{family.name} has two samples with the same labels")
