"""What a network interface costs, by the configuration, the kernel, its driver, or its name."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from device.links.netlink import Interface
from device.model import LinkClass

_ARPHRD_PPP = 512
_OVERLAY_KINDS = frozenset(
    {"tun", "wireguard", "ipip", "ip6tnl", "gre", "ip6gre", "sit", "vti", "vti6", "xfrm", "vxlan"}
)
_OVERLAY_NAMES = ("tun*", "tap*", "wg*", "tailscale*", "zt*", "nebula*", "ipsec*")
_MOBILE_NAMES = ("wwan*", "wwp*", "ppp*", "usb*", "rmnet*")
_MOBILE_DRIVERS = frozenset(
    {"qmi_wwan", "cdc_mbim", "huawei_cdc_ncm", "sierra_net", "hso", "rndis_host", "ipheth"}
)
"""Drivers of modems, and of telephones that share their link. ``cdc_ncm`` and ``cdc_ether`` are
drivers of network adapters, too: there the name tells."""


class Classifier:
    """Says of an interface what it costs.

    ``told`` is what the configuration says: a name, or a pattern as of a shell → the class.
    ``root`` is where ``sys`` lies.
    """

    def __init__(
        self, told: Mapping[str, LinkClass] | None = None, *, root: Path = Path("/")
    ) -> None:
        self._told = dict(told or {})
        self._net = root / "sys/class/net"
        self.is_roaming: Callable[[], bool] = lambda: False
        """Asked whether the modem is in a foreign network: what would be cellular is roaming then.
        """

    def class_of(self, found: Interface) -> LinkClass | None:
        """None for an overlay, which costs what the link costs that it rides on."""
        for pattern, link_class in self._told.items():
            if fnmatchcase(found.name, pattern):
                return self._abroad(link_class)
        folder = self._net / found.name
        device_type = _device_type(folder)
        if device_type == "wlan" or (folder / "phy80211").exists():
            return LinkClass.WIFI
        driver = _name_of(folder / "device/driver")
        is_mobile = device_type == "wwan" or driver in _MOBILE_DRIVERS
        if is_mobile or found.hardware == _ARPHRD_PPP or _matches(found.name, _MOBILE_NAMES):
            return self._abroad(LinkClass.CELLULAR)
        if found.kind in _OVERLAY_KINDS or _matches(found.name, _OVERLAY_NAMES):
            return None
        if _matches(found.name, ("wlan*", "wlp*", "wlx*")):
            return LinkClass.WIFI
        return LinkClass.WIRED

    def _abroad(self, link_class: LinkClass) -> LinkClass:
        is_foreign = link_class is LinkClass.CELLULAR and self.is_roaming()
        return LinkClass.ROAMING if is_foreign else link_class


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _device_type(folder: Path) -> str:
    """``DEVTYPE`` in the interface's ``uevent``: ``wlan``, ``wwan``, ``bridge`` …"""
    try:
        lines = (folder / "uevent").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line[8:] for line in lines if line.startswith("DEVTYPE=")), "")


def _name_of(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""
