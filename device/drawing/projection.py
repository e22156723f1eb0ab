"""From the map's coordinates to the page's pixels, and how long things are on the ground."""

import math
from dataclasses import dataclass

from device.drawing.references import is_geographic, metres_per_unit
from engine import SpatialReference

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax."""

_MARGIN = 0.04
_LEAST_DEGREES = 0.002
_LEAST_UNITS = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where on the page the map is, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """``x·scale_x + offset_x`` and ``y·scale_y + offset_y`` are pixels; y of the page goes down."""

    frame: Frame
    reference: SpatialReference
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    @classmethod
    def fit(cls, box: Box, reference: SpatialReference, frame: Frame) -> "Projection":
        """Shows all of ``box`` in the middle of the frame, with a margin."""
        xmin, ymin, xmax, ymax = box
        x, y = (xmin + xmax) / 2, (ymin + ymax) / 2
        squeeze = _squeeze(reference, y)
        width, height = (xmax - xmin) * squeeze, ymax - ymin
        scale = min(
            frame.width / (width * (1 + 2 * _MARGIN)) if width else math.inf,
            frame.height / (height * (1 + 2 * _MARGIN)) if height else math.inf,
        )
        return cls(
            frame=frame,
            reference=reference,
            scale_x=scale * squeeze,
            scale_y=-scale,
            offset_x=frame.left + frame.width / 2 - x * scale * squeeze,
            offset_y=frame.top + frame.height / 2 + y * scale,
        )

    @property
    def shown(self) -> Box:
        """What of the map is in the frame."""
        return (
            (self.frame.left - self.offset_x) / self.scale_x,
            (self.frame.bottom - self.offset_y) / self.scale_y,
            (self.frame.right - self.offset_x) / self.scale_x,
            (self.frame.top - self.offset_y) / self.scale_y,
        )

    @property
    def metres_per_pixel(self) -> float | None:
        """On the ground, in the middle of the frame; None if the reference's unit is not known."""
        xmin, ymin, xmax, ymax = self.shown
        unit = metres_per_unit(self.reference, (xmin + xmax) / 2, (ymin + ymax) / 2)
        return None if unit is None else unit / -self.scale_y

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        return x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y


def with_room(box: Box, reference: SpatialReference) -> Box:
    """``box``, made wide enough to be shown if it is a point or next to it."""
    xmin, ymin, xmax, ymax = box
    least = _LEAST_DEGREES if is_geographic(reference) else _LEAST_UNITS
    if xmax - xmin >= least / 1000 or ymax - ymin >= least / 1000:
        return box
    x, y, half = (xmin + xmax) / 2, (ymin + ymax) / 2, least / 2
    return x - half, y - half, x + half, y + half


def aspect(box: Box, reference: SpatialReference) -> float:
    """Height over width, as it is drawn."""
    xmin, ymin, xmax, ymax = box
    width = (xmax - xmin) * _squeeze(reference, (ymin + ymax) / 2)
    return (ymax - ymin) / width if width > 0 else math.inf


def nice_length(most: float) -> float:
    """The longest of 1, 2, 5, 10, 20 … that is not longer than ``most``."""
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (5, 2, 1) if step * power <= most * (1 + 1e-9))


def _squeeze(reference: SpatialReference, y: float) -> float:
    """Degrees of longitude are shorter than those of latitude; here as in the middle of the map."""
    if not is_geographic(reference):
        return 1.0
    return max(math.cos(math.radians(min(abs(y), 90.0))), 0.1)
