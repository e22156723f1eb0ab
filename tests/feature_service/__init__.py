"""A sync-enabled ArcGIS feature service to prove clients against; see README.md."""

from .clock import Clock, ManualClock, SystemClock
from .problem import DataError
from .profile import Profile
from .server import FeatureServer, seeded_mint

__all__ = [
    "Clock",
    "DataError",
    "FeatureServer",
    "ManualClock",
    "Profile",
    "SystemClock",
    "seeded_mint",
]
