"""The words of the ``fieldsync`` command that ask the daemon: verbs, options, help."""

import re
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ParserT = TypeVar("ParserT", bound=ArgumentParser)
AddVerb = Callable[["_SubParsersAction[ParserT]", str, str, str, str], ParserT]

STATUS = """\
Tells how the device is: what its daemon does or why it waits, its maps, links, clock and power.
Needs no network."""

WATCH = """\
Prints what happens on the device, line by line, until it is stopped: syncs, their messages, links
that come and go, presses of the button. With --json each line is the daemon's own event."""

PAUSE = """\
Lets the daemon sync nothing, until `fieldsync resume` or for some time. A running sync stops in
good order; nothing is lost. A restart of the device does not end a pause."""

RESUME = "Ends a pause."

QUEUE = "Lists the edits of all the daemon's maps that the services do not have yet."

DOCTOR = """\
Looks at everything that a sync needs, from the disk and the clock to the service itself, and says
of each whether it is well, and if not, what to do: one page, to be photographed or read out. Works
without the daemon, too. Sends nothing but one question to each service."""

BUNDLE = """\
Packs what helps to find a fault into one file, to be sent to whoever looks after the device:
configuration, status, log, versions, and the counts of each map's bookkeeping. No rows, no photos,
no secrets."""

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_daemon_verbs(verbs: "_SubParsersAction[ParserT]", add_verb: "AddVerb[ParserT]") -> None:
    """The verbs that ask the daemon."""
    simple = (
        ("status", STATUS, "tell how the device is"),
        ("watch", WATCH, "print what happens, until it is stopped"),
        ("queue", QUEUE, "list the edits of all maps that are to be sent"),
        ("resume", RESUME, "end a pause"),
    )
    for name, text, summary in simple:
        add_socket(
            add_verb(
                verbs,
                name,
                text,
                f"examples:\n  fieldsync {name}\n  fieldsync {name} --json",
                summary,
            )
        )
    pause = add_verb(
        verbs, "pause", PAUSE, "examples:\n  fieldsync pause\n  fieldsync pause --for 2h", "rest"
    )
    pause.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=_seconds,
        help="how long, as in 90s, 30m, 2h or 1d (default: until `fieldsync resume`)",
    )
    add_socket(pause)
    doctor = add_verb(
        verbs,
        "doctor",
        DOCTOR,
        "examples:\n  fieldsync doctor\n  fieldsync doctor --config device.toml",
        "look at all that a sync needs",
    )
    bundle = add_verb(
        verbs,
        "bundle",
        BUNDLE,
        "examples:\n  fieldsync bundle\n  fieldsync bundle /media/usb/trouble.tar.gz",
        "pack what helps to find a fault",
    )
    bundle.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        nargs="?",
        help="the file to write (default: fieldsync-TIME.tar.gz in this folder)",
    )
    for parser in (doctor, bundle):
        parser.add_argument(
            "--config",
            metavar="FILE",
            type=Path,
            help="the daemon's configuration (default: /etc/fieldsync/config.toml)",
        )
        add_socket(parser)


def add_socket(parser: ArgumentParser) -> None:
    """Where the daemon answers."""
    parser.add_argument(
        "--socket",
        metavar="PATH",
        type=Path,
        help="the daemon's socket (default: FIELDSYNC_SOCKET of the environment, else "
        "/run/fieldsync/api.sock)",
    )


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,7}(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no time; write it like 90s, 30m, 2h or 1d")
    return float(found[1]) * UNITS[found[2] or "s"]
