"""Only ``scripts/device-test`` runs these tests: they need an emulator and minutes."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.device_in_the_loop.image import Image, make_product_disk, ready_image

WANTED = "FIELDSYNC_DEVICE_TEST"
"""``short`` or ``long``, set by the script."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    is_test = collection_path.name.startswith("test_")
    return True if is_test and WANTED not in os.environ else None


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Real time: a device is on the other side."""
    return {"real": asyncio.SelectorEventLoop}


@pytest.fixture(scope="session")
def is_long() -> bool:
    return os.environ[WANTED] == "long"


@pytest.fixture(scope="session")
def image() -> Image:
    return ready_image()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk with this checkout on it."""
    folder = tmp_path_factory.mktemp("product")
    make_product_disk(folder, folder / "product.ext4")
    return folder / "product.ext4"
