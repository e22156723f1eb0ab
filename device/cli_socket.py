"""Which daemon a verb asks, and whether it asks one at all."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from device.api.client import ApiClient, DaemonNotRunningError
from device.cli_errors import UsageError

DEFAULT_SOCKET = Path("/run/fieldsync/api.sock")
ENVIRONMENT = "FIELDSYNC_SOCKET"


def daemon(options: Namespace) -> ApiClient:
    """The daemon at the socket that was given, else at that of the environment, else at the usual
    one."""
    return ApiClient(options.socket or Path(os.environ.get(ENVIRONMENT) or DEFAULT_SOCKET))


def daemon_with(options: Namespace) -> ApiClient | None:
    """The daemon, if ``options.map`` is no folder but the name of one of its maps.

    :exc:`UsageError` if it is neither, and there is a daemon.
    """
    path: Path = options.map
    if os.path.lexists(path) or len(path.parts) != 1:
        return None
    client = daemon(options)
    try:
        names = map_names(client)
    except DaemonNotRunningError:
        return None
    if str(path) not in names:
        raise UsageError(
            f"there is no folder {path}, and the daemon has no map of that name",
            remedy=f"Give the folder of a map, or one of the daemon's maps: {', '.join(names)}"
            if names
            else "Give the folder of a map",
        )
    return client


def map_names(client: ApiClient) -> list[str]:
    """The names of the daemon's maps."""
    answer = client.json("GET", "maps")
    assert isinstance(answer, dict)
    return [str(one["name"]) for one in answer["maps"]]


def pages(client: ApiClient, *steps: str, **query: object) -> list[dict[str, object]]:
    """All pages of a list."""
    found: list[dict[str, object]] = []
    after = None
    while True:
        page = client.json("GET", *steps, limit=200, after=after, **query)
        assert isinstance(page, dict)
        found.append(page)
        after = page["next"]
        if after is None:
            return found


def refuse_options(options: Namespace, named: Sequence[str], usual: Namespace) -> None:
    """:exc:`UsageError` if one of those options was given: they are for a folder."""
    for name in named:
        if getattr(options, name) != getattr(usual, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for the folder of a map; the daemon syncs its maps "
                "as its configuration says",
                remedy="Leave it out, or give the folder",
            )
