"""What a table answers: the edits made here, and the features related to one."""

from dataclasses import dataclass, field

from engine.geodatabase.change_log import EditState
from engine.geodatabase.feature import Feature
from engine.model import EditOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEdit:
    """What was done to a feature since the service last acknowledged it.

    ``feature`` is as it is now, None after a delete; ``base`` as the service last knew it, None
    for an add. ``fields`` were changed. ``sequence`` grows with every touch of any row;
    ``first_sequence`` was that of the first.
    """

    global_id: str
    operation: EditOperation
    state: EditState
    sequence: int
    first_sequence: int
    fields: tuple[str, ...]
    geometry_changed: bool
    feature: Feature | None = field(repr=False)
    base: Feature | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentEdit:
    """What was done to an attachment since the service last acknowledged it.

    ``first_sequence`` as in :class:`LocalEdit`.
    """

    global_id: str
    parent_global_id: str
    name: str
    operation: EditOperation
    state: EditState
    first_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedFeature:
    """A feature of ``layer_id`` that a relationship ties to the one that was asked about."""

    relationship: str
    layer_id: int
    feature: Feature
