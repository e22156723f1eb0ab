"""`python -m tests.feature_service --data DIR [--port N]`."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .problem import DataError
from .profile import Profile, switches
from .server import FeatureServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 2 when the data folder cannot be served."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.feature_service",
        description="A sync-enabled ArcGIS feature service on a loopback port.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of <name>/service.json")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    _add_profile_flags(parser)
    chosen = parser.parse_args(arguments)
    server = FeatureServer(
        chosen.data, profile=_profile(chosen), host=chosen.host, port=chosen.port
    )
    try:
        asyncio.run(_serve(server))
    except DataError as error:
        print(f"feature_service: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"feature_service: cannot listen on port {chosen.port}: {error}", file=sys.stderr)
        return 2
    return 0


def _add_profile_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("profile", "how this deployment differs; see README.md")
    group.add_argument("--profile-seed", type=int, help="draw every switch from this seed")
    for name, choices in switches().items():
        flag = f"--{name.replace('_', '-')}"
        if choices == (False, True):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None)
        elif isinstance(choices[0], int):
            group.add_argument(flag, type=int)
        else:
            group.add_argument(flag, choices=choices)


def _profile(chosen: argparse.Namespace) -> Profile:
    base = Profile() if chosen.profile_seed is None else Profile.random(chosen.profile_seed)
    given = {name: getattr(chosen, name) for name in switches()}
    return replace(base, **{name: value for name, value in given.items() if value is not None})


async def _serve(server: FeatureServer) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with server:
        ready = {"services": server.services, "portal": None, "pid": os.getpid()}
        print(json.dumps(ready), flush=True)
        await stopped.wait()
