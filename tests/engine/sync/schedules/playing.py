"""A device while a schedule runs, and the files of its edits that another machine sends."""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.geodatabase.geodatabase import Geodatabase
from engine.sync.delta_carrier import FILE
from engine.sync.delta_push import PushDeltaJob
from engine.sync.deltas import export_delta, import_delta
from engine.sync.results import SyncGeodatabaseResult
from tests.engine.sync.fleet import Device
from tests.engine.sync.schedules.power import Flushed
from tests.engine.sync.schedules.schedule import Party


@dataclass(slots=True)
class Playing:
    """A device, or the machine that sends a file of one."""

    party: Party
    device: Device
    flushed: Flushed
    geodatabase: Geodatabase | None = None


class Carried:
    """The files that were written; they stay, and may be sent and brought back more than once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, list[Path]] = {}
        self.sent: Counter[str] = Counter()
        """How often a file of a device was sent."""

    async def write(self, playing: Playing, geodatabase: Geodatabase) -> None:
        """The unsent edits of a device as a file, if it has any."""
        files = self._files.setdefault(playing.party.name, [])
        path = self._folder / f"{playing.party.name}{len(files)}.delta"
        if await export_delta(geodatabase, path, clock=playing.device.clock):
            files.append(path)

    def pick(
        self, playing: Playing, draw: random.Random, *, is_answered: bool = False
    ) -> Path | None:
        """A file of that device, or one that was answered."""
        files = self._files.get(playing.party.name, [])
        files = [path for path in files if _answer(path).exists()] if is_answered else files
        return draw.choice(files) if files else None

    def broken(self) -> list[tuple[str, Path]]:
        """The files whose sending was broken off, with the names of their devices."""
        return [
            (name, path)
            for name, files in self._files.items()
            for path in files
            if _folder(path).exists() and not _answer(path).exists()
        ]

    def sender(self, playing: Playing, path: Path) -> Playing:
        """The machine that sends it."""
        carrier = _folder(path) / FILE
        device = Device(playing.device.url, carrier, playing.device.model)
        return Playing(playing.party, device, Flushed(carrier))

    def push(self, sender: Playing, path: Path) -> PushDeltaJob:
        """The job that sends it."""
        self.sent[sender.party.name] += 1
        channel, clock = sender.party.channel, sender.device.clock
        return PushDeltaJob(path, _answer(path), push_channel=channel, clock=clock)

    async def take_back(
        self, playing: Playing, geodatabase: Geodatabase, path: Path
    ) -> SyncGeodatabaseResult:
        """The answer to it, on the device."""
        policy, clock = playing.party.policy, playing.device.clock
        return await import_delta(geodatabase, _answer(path), conflict_policy=policy, clock=clock)


def _folder(path: Path) -> Path:
    return _answer(path).with_name(f"{_answer(path).name}-push")


def _answer(path: Path) -> Path:
    return path.with_suffix(".answer.delta")
