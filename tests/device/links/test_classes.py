"""What an interface costs: by name, driver, kind of device, and configuration."""

from pathlib import Path

import pytest

from device.links.classes import Classifier
from device.links.netlink import Interface
from device.model import LinkClass


def interface(name: str, *, hardware: int = 1, kind: str = "") -> Interface:
    return Interface(index=2, name=name, hardware=hardware, flags=0, kind=kind)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (interface("eth0"), LinkClass.WIRED),
        (interface("end0"), LinkClass.WIRED),
        (interface("enx00e04c680001"), LinkClass.WIRED),
        (interface("br0", kind="bridge"), LinkClass.WIRED),
        (interface("wlan0"), LinkClass.WIFI),
        (interface("wlp2s0"), LinkClass.WIFI),
        (interface("wwan0", hardware=65534), LinkClass.CELLULAR),
        (interface("ppp0", hardware=512, kind="ppp"), LinkClass.CELLULAR),
        (interface("uplink", hardware=512), LinkClass.CELLULAR),
        (interface("usb0"), LinkClass.CELLULAR),
        (interface("tun0", hardware=65534, kind="tun"), None),
        (interface("office", hardware=65534, kind="wireguard"), None),
        (interface("tailscale0", kind="tun"), None),
    ],
)
def test_names_and_kinds_tell(found: Interface, expected: LinkClass | None, tmp_path: Path) -> None:
    assert Classifier(root=tmp_path).class_of(found) is expected


@pytest.mark.parametrize(
    ("driver", "device_type", "expected"),
    [
        ("brcmfmac", "wlan", LinkClass.WIFI),
        ("qmi_wwan", "wwan", LinkClass.CELLULAR),
        ("cdc_ncm", "wwan", LinkClass.CELLULAR),
        ("rndis_host", "", LinkClass.CELLULAR),
        ("cdc_ncm", "", LinkClass.WIRED),
        ("r8152", "", LinkClass.WIRED),
    ],
)
def test_the_driver_tells_more_than_the_name(
    driver: str, device_type: str, expected: LinkClass, tmp_path: Path
) -> None:
    folder = tmp_path / "sys/class/net/net7"
    (folder / "device").mkdir(parents=True)
    (folder / "device/driver").symlink_to(f"../../../../bus/usb/drivers/{driver}")
    kind = f"DEVTYPE={device_type}\n" if device_type else ""
    (folder / "uevent").write_text(f"{kind}INTERFACE=net7\nIFINDEX=2\n")

    assert Classifier(root=tmp_path).class_of(interface("net7")) is expected


def test_the_configuration_tells_most(tmp_path: Path) -> None:
    told = {"usb0": LinkClass.WIRED, "wlan[1-9]": LinkClass.CELLULAR, "tun*": LinkClass.ROAMING}
    classifier = Classifier(told, root=tmp_path)

    assert classifier.class_of(interface("usb0")) is LinkClass.WIRED
    assert classifier.class_of(interface("wlan1")) is LinkClass.CELLULAR
    assert classifier.class_of(interface("wlan0")) is LinkClass.WIFI
    assert classifier.class_of(interface("tun3", kind="tun")) is LinkClass.ROAMING


def test_abroad_what_is_cellular_is_roaming(tmp_path: Path) -> None:
    classifier = Classifier({"wlan0": LinkClass.CELLULAR}, root=tmp_path)
    classifier.is_roaming = lambda: True

    assert classifier.class_of(interface("wwan0")) is LinkClass.ROAMING
    assert classifier.class_of(interface("wlan0")) is LinkClass.ROAMING
    assert classifier.class_of(interface("eth0")) is LinkClass.WIRED
