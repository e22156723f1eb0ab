"""What the daemon signs in with: read at its start, and again when the file has changed.

A token that another program renews, or a password that somebody corrects, counts from the next
sync on.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from device.config import HANDED_FROM, DeviceConfig, credentials, credentials_file
from device.file_stamp import Stamp, stamp_of
from device.log import event
from engine import ArcGISCredentialStore, EngineError


class KeptCredentials:
    """The credentials of the configuration. :exc:`EngineError` if they cannot be read now."""

    def __init__(self, config: DeviceConfig, environment: Mapping[str, str]) -> None:
        self.secrets: set[str] = set()
        """All that it knew so far: nobody may read them anywhere."""
        self._path = credentials_file(config, environment)
        self._read_at = _stamp(self._path)
        self._store = self._take(credentials(config, environment))
        is_handed = config.credentials is None and self._path is not None
        self._source = HANDED_FROM if is_handed else None
        """What the service manager hands over is another file after each start; this is not."""

    @property
    def mark(self) -> str | None:
        """What is another if the present credentials are; it holds nothing of them. None if nobody
        can tell: they are in the environment, say."""
        stamp = self._read_at if self._source is None else _stamp(self._source)
        return None if stamp is None else "-".join(map(str, stamp))

    def store(self) -> ArcGISCredentialStore:
        """The present ones. What cannot be read any more, or not yet, leaves the last ones."""
        stamp = _stamp(self._path)
        if self._path is None or stamp is None or stamp == self._read_at:
            return self._store
        self._read_at = stamp
        try:
            self._store = self._take(ArcGISCredentialStore.from_file(self._path))
            event("credentials.read", file=self._path)
        except EngineError as error:
            event("credentials.unreadable", logging.WARNING, error=error.message)
        return self._store

    def _take(self, store: ArcGISCredentialStore) -> ArcGISCredentialStore:
        self.secrets |= {secret for one in store.credentials for secret in one.secrets}
        return store


def _stamp(path: Path | None) -> Stamp | None:
    return None if path is None else stamp_of(path)
