"""What a sync that ran to its end makes ``fieldsync`` end with."""

from collections.abc import Iterable

from engine import ExitCode, SyncLayerResult


def exit_code(layers: Iterable[SyncLayerResult]) -> ExitCode:
    """The gravest thing that happened to an edit: refused, then in conflict, then nothing."""
    code = ExitCode.OK
    for layer in layers:
        up, photos = layer.uploaded, layer.attachments_uploaded
        if up.quarantined or photos.quarantined:
            return ExitCode.QUARANTINE
        down = layer.downloaded.conflicts + layer.attachments_downloaded.conflicts
        if down or up.conflict or photos.conflict or up.held or photos.held:
            code = ExitCode.CONFLICTS
    return code
