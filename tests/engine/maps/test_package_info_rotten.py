"""A map whose ``package.info`` or ``map.json`` says nothing that can be understood."""

from pathlib import Path

import pytest

from engine.errors import MapError
from engine.maps.package_info import read_json


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_cannot_be_understood_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "map.json").write_bytes(content)

    with pytest.raises(MapError, match=r"map\.json"):
        read_json(tmp_path / "map.json", tmp_path)
