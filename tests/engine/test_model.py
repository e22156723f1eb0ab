"""What every part speaks of: one spelling of a GUID, the SDK's numbers, places that add up."""

import re

import pytest
from hypothesis import given, strategies as st

from engine.errors import BadParameterError, ProtocolError
from engine.model import (
    AttachmentSyncDirection,
    ConflictPolicy,
    Envelope,
    JobStatus,
    LoadStatus,
    OfflineUpdateAvailability,
    PreplannedScheduledUpdatesOption,
    PreplannedUpdateMode,
    QueryOption,
    SpatialReference,
    SyncDirection,
    SyncModel,
    new_guid,
    normalise_guid,
)

GUID = "{0A1B2C3D-4E5F-6A7B-8C9D-0E1F2A3B4C5D}"


@pytest.mark.parametrize(
    "spelling",
    [GUID, GUID.lower(), GUID.strip("{}"), GUID.strip("{}").lower(), f"  {GUID}\n"],
)
def test_one_spelling_for_every_guid(spelling: str) -> None:
    assert normalise_guid(spelling) == GUID


@pytest.mark.parametrize(
    "text", [None, "", " ", 7, b"x", GUID[:-2], GUID + "0", GUID.replace("-", ""), "{" * 38]
)
def test_what_is_no_guid_has_no_spelling(text: object) -> None:
    assert normalise_guid(text) is None


@given(st.uuids())
def test_a_spelling_is_its_own_spelling(value: object) -> None:
    once = normalise_guid(str(value))

    assert once is not None
    assert normalise_guid(once) == once


def test_a_new_guid_is_version_4_in_our_spelling() -> None:
    guids = {new_guid() for _ in range(100)}

    assert len(guids) == 100
    pattern = r"\{[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}\}"
    assert all(re.fullmatch(pattern, guid) for guid in guids)
    assert all(normalise_guid(guid) == guid for guid in guids)


def test_enums_have_the_numbers_and_words_of_the_sdk_and_of_rest() -> None:
    assert [d.value for d in SyncDirection] == [0, 1, 2, 3]
    assert [m.value for m in SyncModel] == ["none", "perLayer", "perReplica"]
    assert [d.value for d in AttachmentSyncDirection] == ["none", "upload", "bidirectional"]
    assert [q.value for q in QueryOption] == ["none", "useFilter", "all"]
    assert [m.value for m in PreplannedUpdateMode] == [0, 1, 2, 3]
    assert [o.value for o in PreplannedScheduledUpdatesOption] == [0, 1]
    assert {a.name: a.value for a in OfflineUpdateAvailability} == {
        "INDETERMINATE": -1,
        "AVAILABLE": 0,
        "NONE": 1,
    }
    assert len(LoadStatus) == 4
    assert [p.value for p in ConflictPolicy] == ["last_synced", "remote_wins", "manual"]


@pytest.mark.parametrize(
    ("direction", "uploads", "downloads"),
    [
        (SyncDirection.NONE, False, False),
        (SyncDirection.DOWNLOAD, False, True),
        (SyncDirection.UPLOAD, True, False),
        (SyncDirection.BIDIRECTIONAL, True, True),
    ],
)
def test_a_direction_says_what_travels(
    direction: SyncDirection, uploads: bool, downloads: bool
) -> None:
    assert (direction.uploads, direction.downloads) == (uploads, downloads)


def test_a_job_is_done_in_three_states() -> None:
    assert {s for s in JobStatus if s.is_done} == {
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    }


# --- places -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wkid", "latest"),
    [
        ({"wkid": 4326}, 4326, 4326),
        ({"wkid": 102100}, 102100, 3857),
        ({"wkid": 102100, "latestWkid": 3857}, 102100, 3857),
        ({"latestWkid": 3857}, 3857, 3857),
        ({"wkid": "4326"}, 4326, 4326),
        ({"wkid": None}, 0, 0),
        ({"wkid": True}, 0, 0),
        ({}, 0, 0),
        (None, 0, 0),
    ],
)
def test_a_spatial_reference_from_json(
    value: dict[str, object] | None, wkid: int, latest: int
) -> None:
    reference = SpatialReference.from_json(value)

    assert (reference.wkid, reference.latest) == (wkid, latest)


def test_a_spatial_reference_survives_its_own_json() -> None:
    for reference in (SpatialReference.of(102100), SpatialReference.from_json({"wkt": "GEOGCS[]"})):
        assert SpatialReference.from_json(reference.to_json()) == reference


def test_old_and_new_numbers_are_the_same_system() -> None:
    old, new = SpatialReference.of(102100), SpatialReference.of(3857)

    assert old.same_as(new)
    assert new.same_as(old)
    assert not old.same_as(SpatialReference.of(4326))
    assert SpatialReference.from_json({"wkt": "A"}).same_as(
        SpatialReference.from_json({"wkt": "A"})
    )
    assert not SpatialReference.from_json({"wkt": "A"}).same_as(old)


@pytest.mark.parametrize(
    ("text", "numbers", "wkid"),
    [
        ("-114,37,-109,42", (-114, 37, -109, 42), 4326),
        (" -114 , 37 , -109 , 42 ", (-114, 37, -109, 42), 4326),
        ("0,0,1e6,1.5,3857", (0, 0, 1e6, 1.5), 3857),
        ("1,2,1,2", (1, 2, 1, 2), 4326),
    ],
)
def test_an_area_from_text(text: str, numbers: tuple[float, ...], wkid: int) -> None:
    area = Envelope.parse(text)

    assert (area.xmin, area.ymin, area.xmax, area.ymax) == numbers
    assert area.spatial_reference == SpatialReference.of(wkid)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not xmin"),
        ("1,2,3", "is not xmin"),
        ("1,2,3,4,5,6", "is not xmin"),
        ("a,b,c,d", "is not xmin"),
        ("1,2,3,4,utm", "is not xmin"),
        ("1,2,3,4,-1", "is not xmin"),
        ("1,2,3,4,0", "is not xmin"),
        ("2,2,1,3", "is empty"),
        ("1,3,2,2", "is empty"),
        ("nan,0,1,1", "is not xmin"),
        ("0,0,inf,1", "is not xmin"),
        ("-inf,0,1e999,1", "is not xmin"),
    ],
)
def test_an_area_that_is_none_says_why(text: str, said: str) -> None:
    with pytest.raises(BadParameterError, match=said) as caught:
        Envelope.parse(text)

    assert caught.value.remedy


def test_an_envelope_survives_its_own_json() -> None:
    area = Envelope.parse("-114,37,-109,42,3857")

    assert Envelope.from_json(area.to_json()) == area
    assert Envelope.from_json({"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1}).to_json() == {
        "xmin": 0.0,
        "ymin": 0.0,
        "xmax": 1.0,
        "ymax": 1.0,
    }


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ("0,0,10,10", True),
        ("10,10,20,20", True),
        ("10.5,0,20,20", False),
        ("0,-5,10,-1", False),
        ("4,4,5,5", True),
        ("-9,-9,99,99", True),
    ],
)
def test_areas_that_touch_intersect(other: str, shared: bool) -> None:
    one, two = Envelope.parse("0,0,10,10"), Envelope.parse(other)

    assert one.intersects(two) == two.intersects(one) == shared


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"xmin": None, "ymin": 0, "xmax": 1, "ymax": 1},
        {"xmin": "x", "ymin": 0, "xmax": 1, "ymax": 1},
        {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN"},
        {"xmin": 0, "ymin": 0, "xmax": float("inf"), "ymax": 1},
    ],
)
def test_an_envelope_without_numbers_is_a_protocol_error(value: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        Envelope.from_json(value)
