"""What docs/device.md tells of the policy is so."""

import re

import pytest

from device.model import LinkClass, WaitReason
from device.policy.rules import Rules
from tests.sources import ROOT

pytestmark = pytest.mark.checkout


def section() -> str:
    page = (ROOT / "docs/device.md").read_text(encoding="utf-8")
    return page.split("\n## Links and policy\n")[1].split("\n## ")[0]


def row(reason: WaitReason) -> str:
    return next(line for line in section().splitlines() if line.startswith(f"| `{reason.value}` |"))


def test_every_reason_to_wait_is_explained_and_no_other() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", section(), re.MULTILINE)) == {
        r.value for r in WaitReason
    }


def test_the_numbers_are_those_of_the_rules() -> None:
    rules = Rules()
    wifi, cellular = rules.of(LinkClass.WIFI), rules.of(LinkClass.CELLULAR)

    assert f"above {rules.hottest_c:.0f} °C" in row(WaitReason.TEMPERATURE)
    assert f"below {rules.weakest_battery_percent:.0f} %" in row(WaitReason.BATTERY)
    assert f"under {rules.free_disk_bytes // 10**6} MB" in row(WaitReason.DISK)
    assert f"{rules.free_disk_share:.0%} and {rules.ample_disk_bytes // 10**9} GB".replace(
        "%", " %"
    ) in row(WaitReason.DISK)
    assert f"{rules.edits_quiet_s:.0f} s after the last" in row(WaitReason.EDITS_SETTLING)
    assert f"{rules.edits_wait_limit_s / 60:.0f} min after" in row(WaitReason.EDITS_SETTLING)
    assert (
        f"{wifi.settle_s:.0f} s (cellular {cellular.settle_s:.0f} s), and up to "
        f"{rules.link_jitter_s:.0f} s more"
    ) in row(WaitReason.LINK_SETTLING)
    assert (
        f"up to {wifi.backoff_base_s:.0f} s (cellular {cellular.backoff_base_s:.0f} s), then "
        f"{2 * wifi.backoff_base_s:.0f} s, and so on up to {wifi.backoff_limit_s / 60:.0f} min "
        f"({cellular.backoff_limit_s / 3600:.0f} h)"
    ) in row(WaitReason.BACK_OFF)
    assert (
        f"from {rules.portal_backoff_base_s / 60:.0f} min "
        f"to {rules.portal_backoff_limit_s / 3600:.0f} h"
    ) in row(WaitReason.PORTAL)
    assert f"remembered for {rules.press_lifetime_s / 60:.0f} minutes" in section()
    assert rules.edits_share == 0.25
    assert rules.reading_lifetime_s == 60
    assert rules.leftover_interval_s == 3600
    assert rules.retry_after_limit_s == 86_400
