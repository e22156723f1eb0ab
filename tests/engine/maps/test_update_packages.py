"""The plan of an update against a portal that refreshes and purges at random."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings, strategies as st

from engine.geodatabase.package_record import PackageGenerations, PackageRecord
from engine.maps.package_item import FEATURE_PACKAGE, PackageItem
from engine.maps.update_packages import UpdateKind, UpdatePlan, plan_updates
from engine.service.portal import ItemResource


def at(generation: int | None, *, per_layer: bool = False) -> PackageGenerations:
    if generation is None:
        return PackageGenerations()
    if per_layer:
        return PackageGenerations(layers={3: generation, 0: generation})
    return PackageGenerations(server=generation)


def record(generation: int | None, *, per_layer: bool = False, modified: int = 1) -> PackageRecord:
    return PackageRecord(
        portal="https://example.org/portal",
        area_item_id="area",
        item_id="package",
        generations=at(generation, per_layer=per_layer),
        size_bytes=100,
        modified=modified,
    )


def item(
    generation: int | None,
    *,
    size: int = 100,
    purged: int | None = None,
    per_layer: bool = False,
    modified: int = 1,
) -> PackageItem:
    return PackageItem(
        item_id="package",
        title="",
        type=FEATURE_PACKAGE,
        size_bytes=size,
        modified=modified,
        generations=at(generation, per_layer=per_layer),
        last_purged_generation=purged,
    )


def files(**sizes: int) -> list[ItemResource]:
    return [ItemResource(name=f"{n}.json", size=size, created=0) for n, size in sizes.items()]


def told(plan: UpdatePlan) -> tuple[UpdateKind, list[int], int]:
    return plan.kind, [file.generation for file in plan.files], plan.size_bytes


def test_plan_when_nothing_is_newer_then_nothing() -> None:
    plan = plan_updates(record(7), item(7, purged=9), files(d_7=1))

    assert told(plan) == (UpdateKind.NOTHING, [], 0)


@pytest.mark.parametrize("per_layer", [False, True])
def test_plan_when_files_are_out_of_order_then_ascending_by_number(per_layer: bool) -> None:
    listed = files(d_10=3, d_9=2, d_8=5, d_7=9, thumbnail=1)

    plan = plan_updates(record(7, per_layer=per_layer), item(10, per_layer=per_layer), listed)

    assert told(plan) == (UpdateKind.UPDATE_FILES, [8, 9, 10], 10)


@pytest.mark.parametrize(("size", "kind"), [(10, "update files"), (9, "whole package")])
def test_plan_when_at_the_boundary_then_the_fewer_bytes(size: int, kind: str) -> None:
    plan = plan_updates(record(7), item(9, size=size), files(d_8=4, d_9=6))

    assert plan.kind.value == kind
    assert plan.size_bytes == size


@pytest.mark.parametrize(("purged", "kind"), [(7, "update files"), (8, "whole package")])
def test_plan_when_purged_then_whole_only_if_ours_is_older(purged: int, kind: str) -> None:
    plan = plan_updates(record(7), item(9, purged=purged), files(d_8=4, d_9=6))

    assert plan.kind.value == kind


@pytest.mark.parametrize("listed", [files(), files(d_8=1), files(d_8=1, d_10=1)])
def test_plan_when_the_files_do_not_lead_to_the_package_then_whole(
    listed: list[ItemResource],
) -> None:
    plan = plan_updates(record(7), item(9), listed)

    assert (plan.kind, plan.reason) == (UpdateKind.WHOLE_PACKAGE, "an update file is missing")


def test_plan_when_a_file_is_beyond_the_item_then_it_waits() -> None:
    """A refresh writes its update file before it tells of it."""
    plan = plan_updates(record(7), item(8), files(d_8=1, d_9=1))

    assert told(plan) == (UpdateKind.UPDATE_FILES, [8], 1)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (record(9), item(7, modified=2)),
        (record(None), item(7, modified=2)),
        (record(7), item(9, per_layer=True, modified=2)),
        (record(None, modified=0), item(7, modified=0)),
    ],
)
def test_plan_when_generations_do_not_compare_then_whole(
    here: PackageRecord, there: PackageItem
) -> None:
    assert plan_updates(here, there, files(d_9=1)).kind is UpdateKind.WHOLE_PACKAGE


@pytest.mark.parametrize(("modified", "kind"), [(1, "nothing"), (2, "whole package")])
def test_plan_when_the_file_here_is_ahead_of_its_item_then_not_fetched_for_ever(
    modified: int, kind: str
) -> None:
    plan = plan_updates(record(9), item(7, modified=modified), [])

    assert plan.kind.value == kind


@pytest.mark.parametrize("here", [record(None), record(9, per_layer=True)])
def test_plan_when_a_file_and_its_item_do_not_compare_then_not_fetched_for_ever(
    here: PackageRecord,
) -> None:
    assert plan_updates(here, item(9), []).kind is UpdateKind.NOTHING


def test_plan_when_an_item_tells_of_some_layers_only_then_those_count() -> None:
    there = replace(item(None), generations=PackageGenerations(layers={3: 7}))

    assert plan_updates(record(7, per_layer=True), there, []).kind is UpdateKind.NOTHING
    assert plan_updates(record(6, per_layer=True), there, files(d_7=1)).size_bytes == 1


@pytest.mark.parametrize(("modified", "kind"), [(1, "nothing"), (2, "whole package")])
def test_plan_when_no_generation_is_told_then_by_the_date(modified: int, kind: str) -> None:
    plan = plan_updates(record(7), item(None, modified=modified), files(d_8=1))

    assert plan.kind.value == kind


def test_plan_when_sizes_are_not_told_then_what_is_known_counts() -> None:
    assert plan_updates(record(7), item(9, size=-1), files(d_8=400, d_9=-1)).size_bytes == 400
    assert plan_updates(record(None), item(9, size=-1), []).size_bytes == 0


@dataclass
class Area:
    """What refreshes and purges leave on a portal, and what clients may have taken of it."""

    generations: list[int] = field(default_factory=lambda: [5])
    files: dict[int, int] = field(default_factory=dict)
    purged: int = 5

    def refresh(self, step: int, size: int) -> None:
        for generation in [g for g in self.files if g <= self.purged]:
            del self.files[generation]
        self.generations.append(self.generations[-1] + step)
        self.files[self.generations[-1]] = size

    def purge(self, chosen: int) -> None:
        self.purged = max(self.purged, self.generations[chosen % len(self.generations)])

    def listed(self, seed: int) -> list[ItemResource]:
        resources = files(**{f"d_{g}": size for g, size in self.files.items()})
        random.Random(seed).shuffle(resources)
        return resources


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("refresh"), st.integers(1, 3), st.integers(0, 60)),
        st.tuples(st.just("purge"), st.integers(0, 20), st.just(0)),
    ),
    max_size=12,
)


@given(steps=STEPS, client=st.integers(0, 20), size=st.integers(0, 120), seed=st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_plan_when_refreshed_and_purged_at_random_then_leads_to_the_package(
    steps: list[tuple[str, int, int]], client: int, size: int, seed: int
) -> None:
    area = Area()
    for kind, number, bytes_ in steps:
        if kind == "refresh":
            area.refresh(number, bytes_)
        else:
            area.purge(number)
    here, there = area.generations[client % len(area.generations)], area.generations[-1]

    plan = plan_updates(record(here), item(there, size=size, purged=area.purged), area.listed(seed))

    needed = [g for g in area.generations if g > here]
    cost = sum(area.files.get(g, 0) for g in needed)
    if here == there:
        assert told(plan) == (UpdateKind.NOTHING, [], 0)
    elif here >= area.purged and cost <= size:
        assert told(plan) == (UpdateKind.UPDATE_FILES, needed, cost)
    else:
        assert told(plan) == (UpdateKind.WHOLE_PACKAGE, [], size)


def test_plan_when_it_must_be_whole_then_whole_although_nothing_is_newer() -> None:
    plan = plan_updates(record(7), item(7, size=5), [], must_be_whole="it is damaged")

    assert (plan.kind, plan.size_bytes, plan.reason) == (
        UpdateKind.WHOLE_PACKAGE,
        5,
        "it is damaged",
    )
