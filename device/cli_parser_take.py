"""The words of the ``fieldsync`` command that are about taking maps."""

from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from device.cli_parser_device import AddVerb
from engine import (
    AttachmentSyncDirection,
    EngineError,
    Envelope,
    PreplannedUpdateMode,
    SyncModel,
)

UPDATE_MODES = {
    "none": PreplannedUpdateMode.NO_UPDATES,
    "sync": PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES,
    "packages": PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES,
    "packages-and-new": (PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES),
}
"""The words for how a map is kept current."""

TAKE = """\
Takes a map: downloads the layers of a feature service, or those of a portal's web map with all its
services, into the new folder MAP and registers the device with the service, so that later syncs
exchange only what changed. The folder appears complete or not at all. A web map is taken as its
author wants it offline; layers of it that cannot be taken are left out, and named. A map area was
prepared ahead of time: its packages are taken; --update-mode says how the map is kept current."""

TAKE_EXAMPLE = """\
examples:
  fieldsync take https://example.org/arcgis/rest/services/Trees/FeatureServer trees \\
      --area -114.1,36.9,-109.0,42.0
  fieldsync take https://example.org/arcgis/rest/services/Trees/FeatureServer trees \\
      --area 1480000,6890000,1500000,6900000,3857 --where 0:"STATE='UT'" --layers 0,1
  fieldsync take "https://www.arcgis.com/home/item.html?id=0123456789abcdef0123456789abcdef" town \\
      --area -114.1,36.9,-109.0,42.0
  fieldsync take "https://www.arcgis.com/home/item.html?id=fedcba9876543210fedcba9876543210" area \\
      --update-mode packages-and-new"""

AREAS = """\
Lists the map areas of a web map that were prepared ahead of time: whether their packages are ready,
how a map of them can be kept current (the words of `take --update-mode`), how large they are, and
which of the maps in a folder were taken of them."""

AREAS_EXAMPLE = """\
examples:
  fieldsync areas "https://www.arcgis.com/home/item.html?id=0123456789abcdef0123456789abcdef"
  fieldsync areas 0123456789abcdef0123456789abcdef --portal https://gis.example.org/portal"""

ParserT = TypeVar("ParserT", bound=ArgumentParser)


def add_take(
    verbs: "_SubParsersAction[ParserT]",
    add_verb: "AddVerb[ParserT]",
    add_credentials: Callable[[ParserT], None],
) -> None:
    """``fieldsync take``."""
    take = add_verb(
        verbs, "take", TAKE, TAKE_EXAMPLE, "take a web map, a map area or a feature service"
    )
    take.add_argument(
        "url",
        metavar="URL",
        help="the feature service, which ends in /FeatureServer; or the page of a web map or map "
        "area, or its item id",
    )
    take.add_argument("map", metavar="MAP", type=Path, help="the folder to make")
    take.add_argument(
        "--area",
        metavar="XMIN,YMIN,XMAX,YMAX[,WKID]",
        type=envelope,
        help="the rectangle to take, in longitude and latitude unless a wkid is given "
        "(default: all that the service has)",
    )
    take.add_argument(
        "--layers",
        metavar="ID,ID…",
        type=_layers,
        help="only these layers and tables (default: all)",
    )
    take.add_argument(
        "--where",
        metavar="ID:CLAUSE",
        type=_where,
        action="append",
        default=[],
        help="only the rows of that layer for which the SQL clause holds; may be repeated",
    )
    take.add_argument(
        "--portal",
        metavar="URL",
        help="the portal of an item id (default: ArcGIS Online)",
    )
    take.add_argument(
        "--all-or-nothing",
        action="store_true",
        help="if a feature layer of the web map or map area cannot be taken, take none",
    )
    take.add_argument(
        "--update-mode",
        choices=list(UPDATE_MODES),
        help="how the map is kept current, which says what may be edited in it: none and packages "
        "take no edits, packages-and-new takes new features, sync what the services allow; the two "
        "with packages are for map areas (default: sync; for a map area the first it offers of "
        "sync, packages, none)",
    )
    photos = take.add_mutually_exclusive_group()
    photos.add_argument(
        "--attachments",
        choices=[d.value for d in AttachmentSyncDirection],
        help="which way photos and other attachments travel, for good (default: bidirectional, or "
        "as the web map says)",
    )
    photos.add_argument(
        "--no-attachments",
        dest="attachments",
        action="store_const",
        const=AttachmentSyncDirection.NONE.value,
        help="the same as --attachments none",
    )
    take.add_argument(
        "--sync-model",
        choices=[m.value for m in (SyncModel.PER_REPLICA, SyncModel.PER_LAYER)],
        help="how the service keeps track of this device (default: what the service prefers)",
    )
    add_credentials(take)


def add_areas(
    verbs: "_SubParsersAction[ParserT]",
    add_verb: "AddVerb[ParserT]",
    add_credentials: Callable[[ParserT], None],
) -> None:
    """``fieldsync areas``."""
    areas = add_verb(verbs, "areas", AREAS, AREAS_EXAMPLE, "list the map areas of a web map")
    areas.add_argument("url", metavar="URL", help="the page of the web map, or its item id")
    areas.add_argument(
        "--portal", metavar="URL", help="the portal of an item id (default: ArcGIS Online)"
    )
    areas.add_argument(
        "--maps",
        metavar="FOLDER",
        type=Path,
        default=Path(),
        help="where maps lie that may have been taken of them (default: this folder)",
    )
    add_credentials(areas)


def envelope(text: str) -> Envelope:
    """``XMIN,YMIN,XMAX,YMAX[,WKID]`` of an option."""
    try:
        return Envelope.parse(text)
    except EngineError as error:
        raise ArgumentTypeError(str(error)) from error


def _layers(text: str) -> tuple[int, ...]:
    return numbers(text, "layer ids")


def _where(text: str) -> tuple[int, str]:
    layer, _, clause = text.partition(":")
    if not layer.strip().isdecimal() or not clause.strip():
        raise ArgumentTypeError(
            f"{text!r} is no layer id and clause; write them like 0:\"STATE='UT'\""
        )
    return int(layer), clause.strip()


def numbers(text: str, what: str) -> tuple[int, ...]:
    """A list of numbers, each once."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no list of {what}; write them like 0,1") from None
    return tuple(dict.fromkeys(found))
