"""A sync-enabled ArcGIS feature service to prove clients against; see README.md."""

from .access import Security
from .clock import Clock, ManualClock, SystemClock
from .fault import Fault, Faults
from .map_area import Packer
from .problem import DataError
from .profile import Profile
from .server import FeatureServer, seeded_mint

__all__ = [
    "Clock",
    "DataError",
    "Fault",
    "Faults",
    "FeatureServer",
    "ManualClock",
    "Packer",
    "Profile",
    "Security",
    "SystemClock",
    "seeded_mint",
]
