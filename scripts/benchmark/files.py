"""The files that the rows measure: made once from a seed, kept for the next run."""

import shutil
from collections.abc import Callable
from pathlib import Path

from scripts.benchmark import process


class Files:
    """A folder of data sets. ``scale`` shrinks them all, for a test that needs no figures."""

    def __init__(self, folder: Path, *, scale: float = 1.0) -> None:
        self._folder = folder if scale == 1.0 else folder / f"scale-{scale:g}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.scale = scale

    def size(self, count: int) -> int:
        """So many rows or edits, in this folder's scale."""
        return max(1, round(count * self.scale))

    def count(self, name: str) -> int:
        return self.size({"trees": 100_000, "parcels": 20_000}[name])

    def scratch(self, name: str) -> Path:
        """A path for what is written while measuring."""
        (self._folder / "scratch").mkdir(exist_ok=True)
        return self._folder / "scratch" / name

    def clean(self) -> None:
        """Remove what was written while measuring."""
        shutil.rmtree(self._folder / "scratch", ignore_errors=True)

    def replica(self, name: str, count: int) -> Path:
        """A replica file."""
        return self._made(f"{name}-{count}.replica.json", "write_replica", name, count)

    def feature_set(self, name: str, count: int) -> Path:
        """The same rows as a query answers them, which GDAL reads."""
        return self._made(f"{name}-{count}.features.json", "write_feature_set", name, count)

    def geodatabase(self, name: str, count: int) -> Path:
        """The geodatabase that the engine makes of the replica file."""
        path = self._folder / f"{name}-{count}.gpkg"

        def make(target: Path) -> None:
            replica = self.replica(name, count)
            arguments = {"name": name, "count": count, "replica": str(replica)}
            process.run_worker("load", {**arguments, "target": str(target)})

        return self._once(path, make)

    def copy(self, path: Path, name: str) -> Path:
        """A copy that may be changed."""
        return Path(shutil.copyfile(path, self.scratch(name)))

    def _made(self, file: str, task: str, name: str, count: int) -> Path:
        def make(target: Path) -> None:
            process.run_worker(task, {"name": name, "count": count, "target": str(target)})

        return self._once(self._folder / file, make)

    def _once(self, path: Path, make: Callable[[Path], None]) -> Path:
        if not path.exists():
            partial = path.with_name(f"partial-{path.name}")
            make(partial)
            partial.replace(path)
        return path
