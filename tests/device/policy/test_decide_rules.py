"""Each rule of the policy alone: what is decided, why, and until when."""

from dataclasses import replace

import pytest

from device.model import (
    FailureClass,
    Gesture,
    Link,
    LinkClass,
    Reach,
    Run,
    SyncTarget,
    Wait,
    WaitReason,
)
from device.policy.conditions import Conditions, Disk
from device.policy.decide import decide
from device.policy.rules import DEFAULT_CLASSES, ClassRules, Rules
from device.policy.state import (
    BackoffWait,
    BudgetState,
    Candidate,
    PolicyState,
    Press,
    TargetState,
    Work,
)

NOW = 10_000.0
FINE = Conditions(
    read_at=NOW,
    disks=(Disk(folder="/maps", free_bytes=10**10, size_bytes=3 * 10**10),),
    is_undervoltage=False,
    temperature_c=50.0,
    battery_percent=80.0,
)


def link(kind: LinkClass, **more: object) -> Candidate:
    names = {
        LinkClass.WIRED: "eth0",
        LinkClass.WIFI: "wlan0",
        LinkClass.CELLULAR: "wwan0",
        LinkClass.ROAMING: "wwan0",
    }
    values: dict[str, object] = {
        "interface": names[kind],
        "link_class": kind,
        "since": NOW - 1000,
        "is_preferred": True,
    }
    found = Link(**(values | more))  # type: ignore[arg-type]
    return Candidate(link=found, settles_at=found.since + 10)


PARK = SyncTarget(map="park", url="https://one.example/arcgis/rest/services/Park/FeatureServer")
DUE = Work(
    pending_edits=3,
    first_change_at=NOW - 500,
    last_change_at=NOW - 400,
    completed_at=NOW - 600,
    pulled_at=NOW - 600,
)


def state(
    kind: LinkClass | None = LinkClass.WIFI,
    *,
    work: Work = DUE,
    is_sign_in_refused: bool = False,
    **more: object,
) -> PolicyState:
    """A device with a link of that class and an edit that is due."""
    park = TargetState(target=PARK, work=work, is_sign_in_refused=is_sign_in_refused)
    values: dict[str, object] = {
        "links": () if kind is None else (link(kind),),
        "conditions": FINE,
        "targets": (park,),
    }
    return PolicyState(**(values | more))  # type: ignore[arg-type]


IDLE = Work(completed_at=NOW - 60, pulled_at=NOW - 60)


def pressed(gesture: Gesture = Gesture.SHORT) -> Press:
    return Press(gesture=gesture, at=NOW)


def reason(answer: Run | Wait) -> WaitReason | None:
    return answer.reason if isinstance(answer, Wait) else None


def test_pending_edits_over_a_good_link_are_synced() -> None:
    answer = decide(state(), NOW)

    assert isinstance(answer, Run)
    assert (answer.max_bytes, answer.deadline_s, answer.pull) == (None, 600.0, True)


def test_without_a_link_nothing_but_a_link_helps() -> None:
    assert decide(state(None), NOW) == Wait(
        until=None, reason=WaitReason.NO_LINK, detail="There is no network link."
    )


def test_a_link_that_just_came_up_has_to_settle() -> None:
    fresh = Candidate(link=link(LinkClass.WIFI, since=NOW - 1).link, settles_at=NOW + 7)

    answer = decide(state(links=(fresh,)), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.LINK_SETTLING, NOW + 7)
    assert isinstance(decide(state(links=(fresh,)), NOW + 7), Run)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"is_undervoltage": True}, WaitReason.UNDERVOLTAGE),
        ({"temperature_c": 80.5}, WaitReason.TEMPERATURE),
        ({"battery_percent": 9.0}, WaitReason.BATTERY),
        ({"battery_percent": 9.0, "is_charging": True}, None),
        (
            {"disks": (Disk(folder="/m", free_bytes=9**9, size_bytes=9**9, is_read_only=True),)},
            WaitReason.STORAGE,
        ),
    ],
)
@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_the_device_protects_itself_also_from_a_press(
    changed: dict[str, object], expected: WaitReason | None, press: Press | None
) -> None:
    conditions = replace(FINE, **changed)  # type: ignore[arg-type]

    assert reason(decide(state(conditions=conditions, press=press), NOW)) is expected


def test_an_old_reading_refuses_nothing() -> None:
    hot = replace(FINE, temperature_c=99.0)

    answer = decide(state(conditions=hot), NOW)

    assert isinstance(answer, Wait)
    assert answer.until == NOW + 60
    assert isinstance(decide(state(conditions=hot), NOW + 60), Run)


def test_what_cannot_be_read_refuses_nothing() -> None:
    assert isinstance(decide(state(conditions=Conditions(read_at=NOW)), NOW), Run)


@pytest.mark.parametrize(
    ("free_bytes", "size_bytes", "is_full"),
    [
        (49_999_999, 10**8, True),
        (50_000_000, 10**8, False),
        (400_000_000, 10**10, True),
        (500_000_000, 10**10, False),
        (1_000_000_000, 10**12, False),
        (999_999_999, 10**12, True),
    ],
)
def test_on_a_full_disk_edits_go_up_and_nothing_comes_down(
    free_bytes: int, size_bytes: int, is_full: bool
) -> None:
    disk = Disk(folder="/m", free_bytes=free_bytes, size_bytes=size_bytes)
    conditions = replace(FINE, disks=(disk,))

    answer = decide(state(conditions=conditions), NOW)
    idle = decide(state(conditions=conditions, work=Work(), press=pressed()), NOW)

    assert isinstance(answer, Run)
    assert answer.pull is not is_full
    assert reason(idle) is (WaitReason.DISK if is_full else None)


def test_a_pause_holds_everything_also_a_press() -> None:
    assert reason(decide(state(is_paused=True, press=pressed()), NOW)) is WaitReason.PAUSED


def test_edits_wait_for_a_quiet_moment_but_not_for_ever() -> None:
    typing = replace(IDLE, pending_edits=1, first_change_at=NOW - 280, last_change_at=NOW)

    answer = decide(state(work=typing), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.EDITS_SETTLING, NOW + 20)
    assert isinstance(decide(state(work=typing, press=pressed()), NOW), Run)


@pytest.mark.parametrize(
    ("kind", "interval_s"),
    [(LinkClass.WIRED, 900), (LinkClass.WIFI, 900), (LinkClass.CELLULAR, 4 * 3600)],
)
def test_without_edits_the_next_pull_is_due_after_an_interval(
    kind: LinkClass, interval_s: float
) -> None:
    answer = decide(state(kind, work=IDLE), NOW)

    assert isinstance(answer, Wait)
    assert answer.reason is WaitReason.NOTHING_TO_DO
    assert answer.until == NOW - 60 + interval_s


def test_after_the_start_a_pull_is_due_at_once() -> None:
    assert isinstance(decide(state(work=Work()), NOW), Run)


def test_edits_that_a_sync_left_unsent_are_tried_again_later() -> None:
    left = replace(IDLE, pending_edits=2)

    answer = decide(state(LinkClass.ROAMING, work=left), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.NOTHING_TO_DO, NOW - 60 + 3600)


# --- the service and the link ---------------------------------------------------------------------


def waits(failure: FailureClass, kind: LinkClass = LinkClass.WIFI) -> tuple[BackoffWait, ...]:
    return (BackoffWait(link_class=kind, failure=failure, failures=2, until=NOW + 100),)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (FailureClass.LINK, WaitReason.BACK_OFF),
        (FailureClass.SERVER, WaitReason.BACK_OFF),
        (FailureClass.LOCAL, WaitReason.BACK_OFF),
        (FailureClass.PORTAL, WaitReason.PORTAL),
        (FailureClass.CLOCK, WaitReason.CLOCK),
    ],
)
def test_after_a_failure_a_while_passes_unless_somebody_presses(
    failure: FailureClass, expected: WaitReason
) -> None:
    answer = decide(state(waits=waits(failure)), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (expected, NOW + 100)
    assert isinstance(decide(state(waits=waits(failure), press=pressed()), NOW), Run)


def test_a_better_link_does_not_wait_for_the_failures_of_another() -> None:
    failed = state(LinkClass.CELLULAR, waits=waits(FailureClass.SERVER, LinkClass.CELLULAR))

    better = replace(
        failed, links=(link(LinkClass.WIFI), link(LinkClass.CELLULAR, is_preferred=False))
    )

    assert reason(decide(failed, NOW)) is WaitReason.BACK_OFF
    assert isinstance(decide(better, NOW), Run)


@pytest.mark.parametrize("press", [None, pressed(), pressed(Gesture.LONG)])
def test_what_the_service_asks_for_holds_also_against_a_press(press: Press | None) -> None:
    answer = decide(state(retry_after={PARK.host: NOW + 77}, press=press), NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.RETRY_AFTER, NOW + 77)


def test_a_refused_sign_in_waits_for_a_person() -> None:
    refused = state(is_sign_in_refused=True)

    answer = decide(refused, NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.AUTHENTICATION, None)
    assert isinstance(decide(replace(refused, press=pressed()), NOW), Run)


def test_a_run_goes_where_the_kernel_routes_and_nowhere_else() -> None:
    dear_first = state(
        links=(link(LinkClass.WIFI, is_preferred=False), link(LinkClass.CELLULAR)),
        waits=waits(FailureClass.LINK, LinkClass.CELLULAR),
    )

    answer = decide(dear_first, NOW)
    later = decide(dear_first, NOW + 100)

    assert isinstance(answer, Wait)
    assert answer.detail.endswith(
        "The kernel does not route over wlan0 (wifi): the metric is higher."
    )
    assert isinstance(later, Run)
    assert later.link.interface == "wwan0"


DEAD_END = (
    link(LinkClass.WIRED, reach=Reach.NOTHING),
    link(LinkClass.CELLULAR, is_preferred=False),
)


def test_around_a_link_that_leads_nowhere_a_run_is_bound_to_another() -> None:
    dead = state(
        links=DEAD_END,
        waits=waits(FailureClass.LINK, LinkClass.WIRED),
        rules=Rules(may_bind=True),
    )

    around, again = decide(dead, NOW), decide(dead, NOW + 100)

    assert isinstance(around, Run)
    assert (around.link.interface, around.is_bound) == ("wwan0", True)
    assert around.max_bytes == 15_000_000
    assert isinstance(again, Run)
    assert (again.link.interface, again.is_bound) == ("eth0", False)


@pytest.mark.parametrize(
    ("failure", "reach", "may_bind"),
    [
        (FailureClass.LINK, Reach.NOTHING, False),
        (FailureClass.LINK, Reach.UNKNOWN, True),
        (FailureClass.SERVER, Reach.SERVICE, True),
    ],
)
def test_around_a_link_that_leads_to_the_service_nothing_goes(
    failure: FailureClass, reach: Reach, may_bind: bool
) -> None:
    links = (link(LinkClass.WIRED, reach=reach), DEAD_END[1])

    answer = decide(
        state(links=links, waits=waits(failure, LinkClass.WIRED), rules=Rules(may_bind=may_bind)),
        NOW,
    )

    assert reason(answer) is WaitReason.BACK_OFF


def test_around_a_dead_end_the_rules_of_the_other_link_hold() -> None:
    dead = state(
        links=DEAD_END,
        waits=waits(FailureClass.LINK, LinkClass.WIRED),
        rules=Rules(may_bind=True),
        budgets=used(LinkClass.CELLULAR, 20_000_000),
    )

    assert reason(decide(dead, NOW)) is WaitReason.BACK_OFF


def test_two_routes_for_two_protocols_count_as_the_dearer() -> None:
    both = state(links=(link(LinkClass.WIRED), link(LinkClass.CELLULAR)))

    answer = decide(both, NOW)

    assert isinstance(answer, Run)
    assert answer.link.link_class is LinkClass.CELLULAR


# --- budgets --------------------------------------------------------------------------------------


def used(kind: LinkClass, size_bytes: int) -> dict[LinkClass, BudgetState]:
    return {kind: BudgetState(used_bytes=size_bytes, turns_at=NOW + 5000)}


def test_what_comes_down_leaves_a_part_of_the_days_budget_for_edits() -> None:
    fresh = decide(state(LinkClass.CELLULAR), NOW)
    some = decide(state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 9_000_000)), NOW)
    most = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 15_000_000))
    edits, idle = decide(most, NOW), decide(replace(most, targets=(TargetState(target=PARK),)), NOW)

    assert isinstance(fresh, Run)
    assert isinstance(some, Run)
    assert isinstance(edits, Run)
    assert (fresh.max_bytes, fresh.pull) == (15_000_000, True)
    assert (some.max_bytes, some.pull) == (6_000_000, True)
    assert (edits.max_bytes, edits.pull) == (5_000_000, False)
    assert reason(idle) is WaitReason.BUDGET


def test_a_used_budget_waits_for_the_next_day() -> None:
    spent = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 19_990_000))

    answer = decide(spent, NOW)
    tomorrow = decide(spent, NOW + 5000)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.BUDGET, NOW + 5000)
    assert isinstance(tomorrow, Run)
    assert tomorrow.max_bytes == 15_000_000


def test_a_long_press_grants_one_more_days_budget() -> None:
    spent = state(LinkClass.CELLULAR, budgets=used(LinkClass.CELLULAR, 20_000_000))

    short = decide(replace(spent, press=pressed()), NOW)
    long = decide(replace(spent, press=pressed(Gesture.LONG)), NOW)

    assert isinstance(short, Wait)
    assert "hold the button" in short.detail
    assert isinstance(long, Run)
    assert long.max_bytes == 20_000_000


def test_over_a_roaming_link_only_edits_go_up() -> None:
    with_edits = decide(state(LinkClass.ROAMING), NOW)
    without = state(LinkClass.ROAMING, work=Work())

    assert isinstance(with_edits, Run)
    assert not with_edits.pull
    assert with_edits.max_bytes == 2_000_000
    assert reason(decide(without, NOW)) is WaitReason.NOTHING_TO_DO
    assert reason(decide(replace(without, press=pressed()), NOW)) is WaitReason.BUDGET
    anyway = decide(replace(without, press=pressed(Gesture.LONG)), NOW)
    assert isinstance(anyway, Run)
    assert anyway.pull


def test_a_class_that_is_forbidden_is_not_used_even_by_a_long_press() -> None:
    never = ClassRules(
        is_allowed=False,
        pull_interval_s=None,
        settle_s=15,
        backoff_base_s=30,
        backoff_limit_s=60,
        deadline_s=60,
    )
    rules = Rules(classes={**DEFAULT_CLASSES, LinkClass.ROAMING: never})

    answer = decide(state(LinkClass.ROAMING, rules=rules, press=pressed(Gesture.LONG)), NOW)

    assert reason(answer) is WaitReason.BUDGET
    assert "forbids" in answer.detail if isinstance(answer, Wait) else False


def test_a_press_that_could_not_be_obeyed_is_forgotten_after_a_while() -> None:
    nowhere = state(None, work=IDLE, press=pressed(), rules=Rules(press_lifetime_s=600))

    answer = decide(nowhere, NOW)

    assert isinstance(answer, Wait)
    assert (answer.reason, answer.until) == (WaitReason.NO_LINK, NOW + 600)
    assert reason(decide(nowhere, NOW + 600)) is WaitReason.NOTHING_TO_DO


@pytest.mark.parametrize("gesture", [Gesture.VERY_LONG, Gesture.STUCK])
def test_other_gestures_ask_for_no_sync(gesture: Gesture) -> None:
    assert reason(decide(state(work=IDLE, press=pressed(gesture)), NOW)) is WaitReason.NOTHING_TO_DO
