"""The README's example does what it says, against the reference service."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.feature_service import FeatureServer
from tests.sources import ROOT
from tests.test_feature_service.world import write_world

pytestmark = pytest.mark.checkout


async def test_the_example_takes_a_map_and_syncs_it(tmp_path: Path) -> None:
    code = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)[0]
    async with FeatureServer(write_world(tmp_path / "data")) as server:
        url = server.url("water")
        code, replaced = re.subn(r'SERVICE = ".*"', f'SERVICE = "{url}"', code)
        assert replaced == 1
        code, replaced = re.subn(r'parse\(".*?"\)', 'parse("0,0,1000,1000,3857")', code)
        assert replaced == 1
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", code),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await asyncio.wait_for(child.communicate(), 60)

    assert errors.decode() == ""
    assert output.decode().splitlines()[-1] == "False"
    assert {p.name for p in (tmp_path / "trees").iterdir()} >= {"package.info", "map.json"}
