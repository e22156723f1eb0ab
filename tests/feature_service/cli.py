"""`python -m tests.feature_service --data DIR [--port N]`."""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .access import Security
from .fault import Faults, fault_from
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
    parser.add_argument(
        "--certificate", type=Path, metavar="PEM", help="speak HTTPS with it; needs --key"
    )
    parser.add_argument("--key", type=Path, metavar="PEM", help="the certificate's key")
    parser.add_argument("--control", action="store_true", help="open POST /control/…")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="JSON", help="a fault to come; repeatable"
    )
    _add_security_flags(parser)
    _add_profile_flags(parser)
    chosen = parser.parse_args(arguments)
    try:
        faults = Faults(fault_from(json.loads(text)) for text in chosen.fault)
        security = _security(chosen)
        tls = _tls(chosen)
    except (ValueError, TypeError, OSError) as error:
        parser.error(str(error))
    server = FeatureServer(
        chosen.data,
        profile=_profile(chosen),
        security=security,
        faults=faults,
        allows_control=chosen.control,
        host=chosen.host,
        port=chosen.port,
        tls=tls,
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


def _tls(chosen: argparse.Namespace) -> ssl.SSLContext | None:
    if chosen.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chosen.certificate, chosen.key)
    return context


def _add_security_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("security", "with none of these everybody may come in")
    group.add_argument("--user", action="append", default=[], metavar="NAME:PASSWORD")
    group.add_argument("--client", action="append", default=[], metavar="ID:SECRET")
    group.add_argument("--api-key", action="append", default=[], metavar="KEY:USER")
    group.add_argument("--owner", action="append", default=[], metavar="NAME")
    group.add_argument("--anonymous-is-owner", action="store_true")
    group.add_argument("--token-life-s", type=int, default=3600)


def _security(chosen: argparse.Namespace) -> Security:
    return Security(
        users=_pairs("--user", chosen.user),
        clients=_pairs("--client", chosen.client),
        api_keys=_pairs("--api-key", chosen.api_key),
        owners=frozenset(chosen.owner),
        anonymous_is_owner=chosen.anonymous_is_owner,
        token_life_s=chosen.token_life_s,
    )


def _pairs(flag: str, texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, mark, value = text.partition(":")
        if not mark:
            raise ValueError(f"{flag} {text}: two parts with a colon between them are needed")
        found[name] = value
    return found


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
        ready = {"services": server.services, "portal": server.portal, "pid": os.getpid()}
        print(json.dumps(ready), flush=True)
        await stopped.wait()
