"""In which ways a map, or a map area, can be kept current."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapUpdateCapabilities:
    """By packages that are prepared on a schedule, and by syncing with the feature services."""

    supports_scheduled_updates_for_features: bool
    supports_sync_with_feature_services: bool
