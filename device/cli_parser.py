"""The words of the ``fieldsync`` command: verbs, options, help."""

from argparse import (
    ArgumentParser,
    Namespace,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from device.cli_errors import UsageError
from device.cli_parser_daemon import add_daemon_verbs, add_socket
from device.cli_parser_device import add_leds, add_modem
from device.cli_parser_draw import add_draw
from device.cli_parser_take import add_areas, add_take, numbers
from device.version import VERSION
from engine import (
    ConflictPolicy,
    SyncDirection,
)

DESCRIPTION = """\
Takes maps of ArcGIS feature services offline, and brings both sides back into agreement.

A map is a folder with one GeoPackage per service. Edit it with any program that writes
GeoPackages; every edit is noticed, and goes up with the next sync."""

EPILOG = """\
example:
  fieldsync take https://example.org/arcgis/rest/services/Trees/FeatureServer trees \\
      --area -114.1,36.9,-109.0,42.0
  fieldsync edits trees
  fieldsync sync trees

exit codes:
  0 done   1 error   2 wrong usage   3 the daemon is not running   4 no permission   5 no link
  6 finished with conflicts   7 edits were refused and set aside   75 try again later
  130 interrupted

`fieldsync VERB --help` explains a verb."""

CHECK = """\
Asks whether a map has something to send or to fetch, and how much. Of what is kept current by
packages the bytes are exact. Nothing is changed."""

SYNC = """\
Syncs a map: downloads what others changed, merges it attribute by attribute, and sends this
device's edits. A map that is kept current by packages sends its new features and applies the
updates of its map area. An interrupted sync loses and doubles nothing; the next one goes on where
it stopped. The maps of a daemon are synced by it, as its configuration says; --direction and what
follows it are for folders."""

SYNC_EXAMPLE = """\
examples:
  fieldsync sync trees
  fieldsync sync trees --direction upload --conflicts manual
  fieldsync sync --wait"""

EXPORT = """\
Writes the edits that the service does not have yet, photos included, to a delta file: to be carried
to a machine with a link, and sent from there with `fieldsync push`. Needs no network. Nothing is
changed, and it may be done as often as you like."""

EXPORT_EXAMPLE = """\
examples:
  fieldsync export trees /media/usb/trees.delta"""

PUSH = """\
Sends the edits in a delta file to their service, from any machine with a link; the map is not
needed there. Writes an acknowledgement, which says what became of each edit and goes back to the
device (`fieldsync import`). What somebody else has changed since is not overwritten. Pushing a file
twice, or after the device has synced by itself, doubles nothing."""

PUSH_EXAMPLE = """\
examples:
  fieldsync push trees.delta
  fieldsync push trees.delta --ack /media/usb/trees.ack.delta"""

IMPORT = """\
Applies a delta file that came for this map: the acknowledgement of edits that were exported and
pushed, or changes of the service. Needs no network. May be interrupted and repeated."""

IMPORT_EXAMPLE = """\
examples:
  fieldsync import trees /media/usb/trees.ack.delta"""

EDITS = "Lists the edits on this device that the service does not have yet. Needs no network."

CONFLICTS = """\
Lists the rows that were edited both here and on the service, with both values, and takes one side.
Needs no network; what is taken goes up with the next sync. What is decided is kept for 90 days."""

CONFLICTS_EXAMPLE = """\
examples:
  fieldsync conflicts trees
  fieldsync conflicts trees --all
  fieldsync conflicts trees --theirs 12,13"""

QUARANTINE = """\
Lists the edits that the service has refused, and the rows of the service that cannot be stored,
with the reason. An edit is sent again by itself once its row is corrected. Needs no network."""

QUARANTINE_EXAMPLE = """\
examples:
  fieldsync quarantine trees
  fieldsync quarantine trees --retry 4
  fieldsync quarantine trees --discard 5,6"""

INFO = "Tells what a map holds, where it came from, and what is pending. Needs no network."

REPAIR = """\
Looks at every file of a map. One that is damaged or missing, or whose edits were not noted because
a program took its triggers away, is taken again from its service. The unsent edits that can be read
come along: it says which do, and which could not be read; what nobody can tell becomes a conflict
for a person. The old file is never erased; it stays beside the new one as
NAME.broken-TIME. Close the programs that have the map open. May be interrupted and repeated."""

REGISTER = """\
Registers the map with its services anew, as a replica of its own. A copy of a map's folder on the
same device needs that before its first sync, and so does a map that was unregistered. A card that
was copied into another device is noticed, and registers itself when it syncs."""

RELOCATE = """\
Says that the map's feature service has moved to another URL. It must be the same service, by its
portal item or because it knows this map; nothing is lost or sent."""

UNREGISTER = """\
Tells the service that this device no longer syncs the map. The folder stays, with all its rows;
it cannot be synced again unless it is registered anew."""


class Parser(ArgumentParser):
    """A parser whose complaints are one line, told like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"See {self.prog} --help")


def make_parser() -> Parser:
    """The parser; what it reads goes into the namespace of :func:`defaults`."""
    parser = Parser(
        prog="fieldsync",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fieldsync {VERSION}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    add_take(verbs, _add_verb, _add_credentials)
    add_areas(verbs, _add_verb, _add_credentials)
    _add_credentials(_add_map_verb(verbs, "check", CHECK, "ask what a sync would do now"))
    _add_sync(verbs)
    _add_delta_verbs(verbs)
    edits = _add_verb(
        verbs,
        "edits",
        EDITS,
        "example:\n  fieldsync edits trees",
        "list the edits that the service does not have yet",
    )
    _add_map(edits, may_be_named=True)
    _add_decisions(verbs)
    _add_map_verb(verbs, "info", INFO, "tell what a map holds")
    add_draw(verbs, _add_verb)
    repair = _add_map_verb(verbs, "repair", REPAIR, "take the damaged files of a map again")
    repair.add_argument(
        "--again",
        action="store_true",
        help="take whole files again, too: for a layer that became another one on the service",
    )
    _add_credentials(repair)
    register = _add_map_verb(verbs, "register", REGISTER, "register a copied or unregistered map")
    _add_credentials(register)
    _add_relocate(verbs)
    unregister = _add_map_verb(verbs, "unregister", UNREGISTER, "end a map's tie to its service")
    _add_credentials(unregister)
    unregister.add_argument(
        "--give-up-edits",
        action="store_true",
        help="unregister although there are edits that were not sent",
    )
    add_daemon_verbs(verbs, _add_verb)
    add_leds(verbs, _add_verb)
    add_modem(verbs, _add_verb)
    return parser


def joined(arguments: Sequence[str]) -> list[str]:
    """``--area -114,36,…`` → ``--area=-114,36,…``: the value may begin with a minus."""
    given, result = iter(arguments), []
    for argument in given:
        value = next(given, None) if argument in ("--area", "--extent") else None
        result.append(argument if value is None else f"{argument}={value}")
    return result


def _add_sync(verbs: "_SubParsersAction[Parser]") -> None:
    sync = _add_verb(verbs, "sync", SYNC, SYNC_EXAMPLE, "exchange edits with the service")
    sync.add_argument(
        "map",
        metavar="MAP",
        type=Path,
        nargs="?",
        help="the folder of the map, which is synced here; or the name of one of the "
        "daemon's maps, which the daemon syncs (default: all of those)",
    )
    sync.add_argument(
        "--wait",
        action="store_true",
        help="wait until the daemon has done it, or says that it must wait; here it is always so",
    )
    sync.add_argument(
        "--expensive",
        action="store_true",
        help="the daemon may use links that cost much, as with a long press of the button",
    )
    add_socket(sync)
    directions = (SyncDirection.BIDIRECTIONAL, SyncDirection.UPLOAD, SyncDirection.DOWNLOAD)
    sync.add_argument(
        "--direction",
        choices=[d.name.lower() for d in directions],
        default=SyncDirection.BIDIRECTIONAL.name.lower(),
        help="send, receive, or both (default: both)",
    )
    _add_conflicts(sync)
    sync.add_argument(
        "--no-updates",
        dest="scheduled_updates",
        action="store_false",
        help="leave the updates of the map area for later; new features go up all the same",
    )
    sync.add_argument(
        "--no-full-download",
        dest="allow_full_download",
        action="store_false",
        help="on a thin link: if the service cannot tell what has changed, or all of a package is "
        "needed, send the edits, but do not fetch all rows anew",
    )
    sync.add_argument(
        "--all-or-nothing",
        action="store_true",
        help="if the service refuses one edit, it shall apply none",
    )
    sync.add_argument(
        "--keep-deltas",
        action="store_true",
        help="keep what is sent and what comes as delta files beside each geodatabase",
    )
    _add_credentials(sync)


def _add_relocate(verbs: "_SubParsersAction[Parser]") -> None:
    example = (
        "example:\n  fieldsync relocate trees "
        "https://new.example.org/arcgis/rest/services/Trees/FeatureServer"
    )
    relocate = _add_verb(verbs, "relocate", RELOCATE, example, "follow a service to a new URL")
    _add_map(relocate)
    relocate.add_argument("url", metavar="URL", help="where the feature service is now")
    relocate.add_argument(
        "--file",
        metavar="NAME",
        help="the geodatabase of the map, if it has several (default: the one of that service)",
    )
    _add_credentials(relocate)


def _add_delta_verbs(verbs: "_SubParsersAction[Parser]") -> None:
    export = _add_verb(
        verbs, "export", EXPORT, EXPORT_EXAMPLE, "write the edits to a file to be carried"
    )
    _add_map(export)
    export.add_argument("file", metavar="FILE", type=Path, help="the delta file to write")
    push = _add_verb(verbs, "push", PUSH, PUSH_EXAMPLE, "send the edits in such a file")
    push.add_argument("file", metavar="FILE", type=Path, help="the delta file")
    push.add_argument(
        "--service",
        metavar="URL",
        help="the feature service, if it has another URL from here (default: as the file says)",
    )
    push.add_argument(
        "--ack",
        metavar="FILE",
        type=Path,
        help="the acknowledgement to write (default: FILE with .ack.delta at its end)",
    )
    _add_credentials(push)
    import_ = _add_verb(verbs, "import", IMPORT, IMPORT_EXAMPLE, "apply a file that came back")
    _add_map(import_)
    import_.add_argument("file", metavar="FILE", type=Path, help="the delta file")
    _add_conflicts(import_)


def _add_decisions(verbs: "_SubParsersAction[Parser]") -> None:
    """What needs a person."""
    conflicts = _add_verb(
        verbs, "conflicts", CONFLICTS, CONFLICTS_EXAMPLE, "list conflicts, and take a side"
    )
    quarantine = _add_verb(
        verbs, "quarantine", QUARANTINE, QUARANTINE_EXAMPLE, "list what was refused, and decide"
    )
    for parser, choices in (
        (conflicts, {"mine": "take this device's values", "theirs": "take the service's values"}),
        (quarantine, {"retry": "send or fetch again", "discard": "give the edits up"}),
    ):
        _add_map(parser, may_be_named=True)
        parser.add_argument("--all", action="store_true", help="also what has been decided")
        for name, text in choices.items():
            parser.add_argument(
                f"--{name}", metavar="ID,ID…", type=_ids, default=(), help=f"{text}, by number"
            )
        parser.add_argument(
            "--file",
            metavar="NAME",
            help="only that geodatabase; must be given to decide if the map has several",
        )


def _add_conflicts(parser: Parser) -> None:
    parser.add_argument(
        "--conflicts",
        choices=[p.value.replace("_", "-") for p in ConflictPolicy],
        default=ConflictPolicy.LAST_SYNCED.value.replace("_", "-"),
        help="who wins where both sides changed the same attribute: this device because it syncs "
        "last, the service, or nobody until a person decides (default: last-synced)",
    )


def _add_map_verb(
    verbs: "_SubParsersAction[Parser]", name: str, description: str, summary: str
) -> Parser:
    parser = _add_verb(verbs, name, description, f"example:\n  fieldsync {name} trees", summary)
    _add_map(parser)
    return parser


def _add_verb(
    verbs: "_SubParsersAction[Parser]", name: str, description: str, example: str, summary: str
) -> Parser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=description,
        epilog=example,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="print one JSON object (docs/cli.md has its members)"
    )
    output.add_argument("--quiet", action="store_true", help="print errors only; no progress")
    output.add_argument(
        "--debug", action="store_true", help="tell everything, with tracebacks, on standard error"
    )
    return parser


def _add_credentials(parser: Parser) -> None:
    parser.add_argument(
        "--credentials",
        metavar="FILE",
        type=Path,
        help="a file with users and passwords, tokens or keys, which nobody else may read; "
        "docs/cli.md shows one (default: the file or the secrets in the environment's FIELDSYNC_…)",
    )


def _add_map(parser: Parser, *, may_be_named: bool = False) -> None:
    text = "the folder of the map"
    if may_be_named:
        text += ", or the name of one of the daemon's"
        add_socket(parser)
    parser.add_argument("map", metavar="MAP", type=Path, help=text)


def _ids(text: str) -> tuple[int, ...]:
    return numbers(text, "numbers")


def defaults() -> Namespace:
    """What holds for all verbs before any argument is read."""
    return Namespace(verb=None, json=False, quiet=False, debug=False)
