"""Several services of several maps: what is decided for each, and what holds back which."""

from dataclasses import replace

import pytest

from device.model import (
    FailureClass,
    Gesture,
    LinkClass,
    Run,
    SyncTarget,
    Wait,
    WaitReason,
)
from device.policy.conditions import Conditions, Disk
from device.policy.decide import decide
from device.policy.holds import holds
from device.policy.state import BackoffWait, PolicyState, Press, TargetState, Work
from tests.device.policy.test_decide_rules import (
    DUE,
    FINE,
    IDLE,
    NOW,
    PARK,
    pressed,
    reason,
    state,
    used,
)

CITY = SyncTarget(map="city", url="https://two.example/arcgis/rest/services/City/FeatureServer")
TREES = SyncTarget(map="city", url="https://one.example/arcgis/rest/services/Trees/FeatureServer")


def several(*, refused: SyncTarget | None = None, **more: object) -> PolicyState:
    """Three services of two maps and two hosts, with an edit for each."""
    targets = tuple(
        TargetState(target=one, work=DUE, is_sign_in_refused=one == refused)
        for one in (PARK, CITY, TREES)
    )
    return state(targets=targets, **more)  # type: ignore[arg-type]  # none of its own words


def run_targets(answer: Run | Wait) -> tuple[SyncTarget, ...]:
    assert isinstance(answer, Run), answer
    return answer.targets


def failed(target: SyncTarget, failure: FailureClass = FailureClass.SERVER) -> BackoffWait:
    return BackoffWait(
        link_class=LinkClass.WIFI, failure=failure, target=target, failures=3, until=NOW + 100
    )


def test_one_run_takes_all_services_that_may_be_synced() -> None:
    assert run_targets(decide(several(), NOW)) == (PARK, CITY, TREES)


@pytest.mark.parametrize("failure", [f for f in FailureClass if f not in (FailureClass.REFUSED,)])
def test_a_service_that_failed_holds_no_other_back(failure: FailureClass) -> None:
    answer = decide(several(waits=(failed(PARK, failure),)), NOW)
    later = decide(several(waits=(failed(PARK, failure),)), NOW + 100)

    assert run_targets(answer) == (CITY, TREES)
    assert run_targets(later) == (PARK, CITY, TREES)


def test_a_refused_sign_in_holds_no_other_back() -> None:
    refused = several(refused=CITY)

    assert run_targets(decide(refused, NOW)) == (PARK, TREES)
    assert run_targets(decide(replace(refused, press=pressed()), NOW)) == (PARK, CITY, TREES)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_a_host_that_asked_for_time_gets_it_for_all_its_services_and_no_other_host(
    press: Press | None,
) -> None:
    asked = several(retry_after={"one.example": NOW + 77}, press=press)

    assert run_targets(decide(asked, NOW)) == (CITY,)
    assert run_targets(decide(asked, NOW + 77)) == (PARK, CITY, TREES)


def test_what_somebody_asked_for_is_synced_alone_and_first() -> None:
    one_map = Press(gesture=Gesture.SHORT, at=NOW, maps=frozenset({"city"}))

    asked = several(press=one_map, waits=(failed(CITY),))

    assert run_targets(decide(asked, NOW)) == (CITY, TREES)


def test_what_somebody_asked_for_and_may_not_be_holds_no_other_back() -> None:
    one_map = Press(gesture=Gesture.SHORT, at=NOW, maps=frozenset({"park"}))
    busy = several(press=one_map, retry_after={"one.example": NOW + 77})

    run = decide(busy, NOW)
    quiet = replace(busy, targets=(*busy.targets[:1], TargetState(target=CITY, work=IDLE)))
    wait = decide(quiet, NOW)

    assert run_targets(run) == (CITY,)
    assert reason(wait) is WaitReason.RETRY_AFTER, "and not that there is nothing to do"


@pytest.mark.parametrize(
    ("work", "is_taken"),
    [
        (replace(IDLE, pulled_at=NOW - 450), True),
        (replace(IDLE, pulled_at=NOW - 449), False),
        (replace(IDLE, pending_edits=1), False),
        (replace(IDLE, pending_edits=1, last_change_at=NOW), True),
    ],
)
def test_what_soon_is_due_goes_along_with_another_but_starts_nothing(
    work: Work, is_taken: bool
) -> None:
    other = TargetState(target=CITY, work=work)

    alone = decide(state(targets=(other,)), NOW)
    along = decide(state(targets=(several().targets[0], other)), NOW)

    assert isinstance(alone, Wait)
    assert run_targets(along) == ((PARK, CITY) if is_taken else (PARK,))


def test_what_waited_longest_for_its_turn_comes_first() -> None:
    """A download that fills each run to its end must not keep the others away for ever."""
    tried = [replace(DUE, tried_at=NOW - ago) for ago in (1, 50, 20)]
    targets = tuple(
        TargetState(target=one, work=work)
        for one, work in zip((PARK, CITY, TREES), tried, strict=True)
    )

    assert run_targets(decide(state(targets=targets), NOW)) == (CITY, TREES, PARK)


def test_where_only_edits_may_go_only_services_with_edits_are_asked() -> None:
    idle = TargetState(target=CITY, work=Work())
    most = state(
        LinkClass.CELLULAR,
        targets=(idle, several().targets[0]),
        budgets=used(LinkClass.CELLULAR, 15_000_000),
    )

    answer = decide(most, NOW)

    assert isinstance(answer, Run)
    assert (answer.pull, answer.targets) == (False, (PARK,))


def test_leftover_edits_are_not_sent_again_and_again_because_a_pull_is_due() -> None:
    """With a budget for edits alone, a pull stays due whatever is sent."""
    left = Work(pending_edits=2, completed_at=NOW - 1, tried_at=NOW - 1)

    answer = decide(
        state(LinkClass.CELLULAR, work=left, budgets=used(LinkClass.CELLULAR, 15_000_000)), NOW
    )

    assert reason(answer) is WaitReason.BUDGET


def test_the_reason_names_the_service_where_there_are_several() -> None:
    alone = decide(state(is_sign_in_refused=True), NOW)
    targets = (several(refused=PARK).targets[0], TargetState(target=CITY, work=IDLE))
    among = decide(state(targets=targets), NOW)

    assert isinstance(alone, Wait)
    assert isinstance(among, Wait)
    assert alone.detail.startswith("The service refused the sign-in")
    assert among.detail.startswith(
        "The service one.example/arcgis/rest/services/Park/FeatureServer refused the sign-in"
    )


def test_what_is_left_alone_is_told_while_others_are_synced() -> None:
    told = holds(
        several(
            refused=CITY,
            waits=(failed(TREES), failed(PARK, FailureClass.LINK)),
            retry_after={"one.example": NOW + 77},
        ),
        NOW,
        LinkClass.WIFI,
    )
    later = holds(several(waits=(failed(TREES),)), NOW + 99, LinkClass.WIFI)
    elsewhere = holds(several(waits=(failed(TREES),)), NOW, LinkClass.CELLULAR)

    assert [(h.target, h.wait.reason, h.wait.until) for h in told] == [
        (PARK, WaitReason.RETRY_AFTER, NOW + 77),
        (CITY, WaitReason.AUTHENTICATION, None),
        (TREES, WaitReason.RETRY_AFTER, NOW + 77),
    ]
    assert [(h.target, h.wait.reason, h.wait.until) for h in later] == [
        (TREES, WaitReason.BACK_OFF, NOW + 100)
    ]
    assert "3 times: it could not do it" in later[0].wait.detail
    assert elsewhere == ()


# --- maps that cannot be used ---------------------------------------------------------------------


def test_a_broken_map_keeps_no_other_from_being_synced() -> None:
    assert run_targets(decide(state(broken_maps=("city",)), NOW)) == (PARK,)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_if_all_maps_are_broken_a_person_is_needed(press: Press | None) -> None:
    answer = decide(state(targets=(), broken_maps=("park", "city"), press=press), NOW)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.STORAGE
    assert "park, city" in answer.detail


def test_without_maps_there_is_nothing_to_do() -> None:
    assert reason(decide(state(targets=()), NOW)) is WaitReason.NOTHING_TO_DO


def disk(*maps: str, is_read_only: bool = False) -> Conditions:
    full = Disk(
        folder="/stick",
        maps=frozenset(maps),
        free_bytes=0,
        size_bytes=10**10,
        is_read_only=is_read_only,
    )
    return replace(FINE, disks=(*FINE.disks, full))


def test_a_disk_that_is_locked_keeps_only_its_own_maps_from_being_synced() -> None:
    locked = several(conditions=disk("city", is_read_only=True))

    assert run_targets(decide(locked, NOW)) == (PARK,)
    alone = decide(state(conditions=disk("park", is_read_only=True)), NOW)
    assert reason(alone) is WaitReason.STORAGE


def test_a_disk_that_is_full_keeps_changes_only_from_its_own_maps() -> None:
    """Their edits go up in a run of their own."""
    full = several(conditions=disk("city"))
    first = decide(full, NOW)
    done = replace(full, targets=(TargetState(target=PARK, work=IDLE), *full.targets[1:]))
    second = decide(done, NOW)

    assert (run_targets(first), isinstance(first, Run) and first.pull) == ((PARK,), True)
    assert (run_targets(second), isinstance(second, Run) and second.pull) == ((CITY, TREES), False)
