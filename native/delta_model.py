"""What a delta is about: its header, its sections, and which places of a row a mask names."""

import marshal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from native.layer import Column, Layer
from native.operation import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What identifies a layer's base: how many rows it has and its native.delta.digest."""

    count: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaHeader:
    """What a delta is for. ``bases`` per layer id; None makes it self-contained.

    ``id`` is 16 bytes that no other delta has: with a block's number it names a block for ever.
    ``about`` holds whatever else the two sides agree on, as JSON values.
    """

    id: bytes
    service: str
    replica: str
    generation: int
    layers: tuple[Layer, ...]
    bases: Mapping[int, Base] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Edits of one layer and one operation, in the order in which they were written.

    Adds: ``rows`` are full rows. Updates: ``rows`` carry their mask before the first value and
    None in places that the mask does not name; ``keys`` name them. Deletes: ``keys`` only. A key
    is a GlobalID, or in a based delta a rank in the base.
    """

    layer_id: int
    operation: Operation
    keys: list[str] | list[int]
    rows: list[tuple[Any, ...]]


def places_of(layer: Layer) -> list[Column | None]:
    """The columns of a row; None stands for the geometry."""
    return [*layer.columns, *([None] if layer.geometry_type is not None else [])]


def mask_size(layer: Layer) -> int:
    return (len(places_of(layer)) + 7) // 8


def carries(mask: bytes | None, place: int) -> bool:
    return mask is None or bool(mask[place // 8] >> place % 8 & 1)


def digest(rows: Iterable[tuple[Any, ...]]) -> bytes:
    """SHA-256 of rows in their order: of the marshalled tuples of SPEC.md, one after the other.

    For a base: its full rows, sorted by GlobalID.
    """
    total = sha256()
    for row in rows:
        total.update(marshal.dumps(row, 2))
    return total.digest()
