"""What the device was told: the configuration file of ``fieldsyncd``.

Each section is a frozen dataclass that is handed to the part it is for; docs/device.md explains
every key. Secrets are never in it: they come from the file that ``device.credentials`` names, from
the service manager's credentials, or from the environment.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from device.config_reader import Between, ConfigError, Key, Word, fields_of, read_config, spelled
from device.lamps.language import LampMode
from device.model import LinkClass
from device.socket_file import LONGEST_SOCKET_PATH
from engine import ConflictPolicy, SyncDirection

if TYPE_CHECKING:  # what dials reads the configuration each time, and signs in nowhere
    from engine import ArcGISCredentialStore

Seconds = Annotated[float, Between(0, 86_400)]
Minutes = Annotated[float, Between(0.1, 10_080)]
Percent = Annotated[float, Between(0, 100)]

CREDENTIAL_NAME = "credentials"
"""What the unit file calls the credentials that it hands over (systemd.exec, LoadCredential=)."""
HANDED_FROM = Path("/etc/fieldsync/credentials.toml")
"""Where it takes them from. The daemon may not read this, only see whether it has changed."""


class LogLevel(Enum):
    """From which severity on events are logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LinkUse(Enum):
    """When a sync may go over a class of links."""

    ALWAYS = "always"
    EDITS = "edits"
    """Only to send edits that wait here, or after a long press."""
    NEVER = "never"


class ModemMode(Enum):
    """Who speaks with the modem."""

    NONE = "none"
    MANAGED = "managed"
    """ModemManager; we see the links that it makes."""
    DIRECT = "direct"
    """We do, over its serial port."""


class FlowControl(Enum):
    """How a serial port is told to wait."""

    NONE = "none"
    HARDWARE = "hardware"
    """By the wires RTS and CTS."""


class ModemHelper(Enum):
    """Who runs the program that dials, which needs privileges that the daemon has not."""

    SERVICE = "service"
    """The service manager, when the daemon asks for a link (fieldsync-ppp.path)."""
    CHILD = "child"
    """The daemon itself, which must then be root."""


class Board(Enum):
    """Which lamps there are."""

    NONE = "none"
    ONE = "one"
    THREE = "three"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """``[device]``: the daemon itself. ``state``: the folder for what must outlive a power cut."""

    name: str = ""
    state: Path = Path("/var/lib/fieldsync")
    credentials: Path | None = None
    log_level: LogLevel = LogLevel.INFO
    check_s: Annotated[float, Between(0, 3600)] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MapConfig:
    """``[[map]]``: one offline map that is kept in step."""

    name: str
    folder: Path
    direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    conflicts: ConflictPolicy = ConflictPolicy.LAST_SYNCED
    keep_deltas: bool = False
    full_download: tuple[LinkClass, ...] = (LinkClass.WIRED, LinkClass.WIFI)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """``[sync]``: when to sync without being asked."""

    after_edit_s: Seconds = 30.0
    edits_wait_s: Seconds = 300.0
    watch_edits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkClassConfig:
    """``[links.wired]`` and so on: what links of a class may be used for. A None is no limit."""

    use: LinkUse = LinkUse.ALWAYS
    budget_mb: Annotated[float | None, Between(0, 1e6), Word("unlimited")] = None
    every_minutes: Annotated[float | None, Between(0.1, 10_080), Word("never")] = 15.0
    settle_s: Seconds = 5.0
    run_minutes: Minutes = 10.0
    backoff_base_s: Annotated[float, Between(0.1, 3600)] = 5.0
    backoff_cap_s: Annotated[float, Between(1, 86_400)] = 900.0

    @property
    def budget_bytes(self) -> int | None:
        """A day's bytes, both ways; None: any number."""
        return None if self.budget_mb is None else round(self.budget_mb * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksConfig:
    """``[links]``: which interfaces are what, and what each class may be used for."""

    interfaces: Mapping[str, LinkClass] = field(default_factory=dict)
    jitter_s: Seconds = 10.0
    wired: LinkClassConfig = LinkClassConfig()
    wifi: LinkClassConfig = LinkClassConfig()
    cellular: LinkClassConfig = LinkClassConfig(
        budget_mb=20.0,
        every_minutes=240.0,
        settle_s=15.0,
        run_minutes=20.0,
        backoff_base_s=30.0,
        backoff_cap_s=3600.0,
    )
    roaming: LinkClassConfig = LinkClassConfig(
        use=LinkUse.EDITS,
        budget_mb=2.0,
        every_minutes=None,
        settle_s=15.0,
        run_minutes=20.0,
        backoff_base_s=30.0,
        backoff_cap_s=3600.0,
    )

    def of(self, link_class: LinkClass) -> LinkClassConfig:
        """The settings of a class."""
        found: LinkClassConfig = getattr(self, link_class.value)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionsConfig:
    """``[conditions]``: when the device itself is in no state to sync."""

    min_free_mb: Annotated[float, Between(0, 1e6)] = 50.0
    min_free_percent: Percent = 5.0
    max_temperature_c: Annotated[float, Between(0, 150)] = 80.0
    min_battery_percent: Percent = 10.0
    battery_file: Path | None = None
    clock_file: Path = Path("/run/systemd/timesync/synchronized")
    root: Path = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemConfig:
    """``[modem]``: the way to a mobile network. The PIN and the password are in files of their
    own."""

    mode: ModemMode = ModemMode.NONE
    port: Path = Path("/dev/fieldsync-modem")
    baud: Annotated[int, Between(300, 4_000_000)] = 115_200
    flow_control: FlowControl = FlowControl.NONE
    apn: str = ""
    user: str = ""
    roaming: bool = False
    secrets: Path | None = None
    idle_s: Seconds = 60.0
    helper: ModemHelper = ModemHelper.SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class LampsConfig:
    """``[lamps]``: the LEDs, by their names in the kernel."""

    board: Board = Board.NONE
    folder: Path = Path("/sys/class/leds")
    link: str = "fieldsync:link"
    sync: str = "fieldsync:sync"
    attention: str = "fieldsync:attention"
    single: str = "fieldsync:status"
    mode: LampMode = LampMode.ALL
    brightness_percent: Percent = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonConfig:
    """``[button]``: the key, and how long the presses are."""

    device: Path | None = None
    key_code: Annotated[int, Between(1, 767)] = 148
    short_s: Annotated[float, Between(0.1, 10)] = 0.8
    long_s: Annotated[float, Between(0.1, 30)] = 2.0
    very_long_s: Annotated[float, Between(1, 60)] = 8.0
    stuck_s: Annotated[float, Between(5, 600)] = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketConfig:
    """``[socket]``: where programs ask, and who may change things."""

    path: Path = Path("/run/fieldsync/api.sock")
    group: str = "fieldsync"
    read_group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    device: DeviceConfig = DeviceConfig()
    maps: Annotated[tuple[MapConfig, ...], Key("map")] = ()
    sync: SyncConfig = SyncConfig()
    links: LinksConfig = LinksConfig()
    conditions: ConditionsConfig = ConditionsConfig()
    modem: ModemConfig = ModemConfig()
    lamps: LampsConfig = LampsConfig()
    button: ButtonConfig = ButtonConfig()
    socket: SocketConfig = SocketConfig()

    @classmethod
    def read(cls, path: Path) -> "Config":
        """The configuration in the file. :exc:`ConfigError` names the key that is wrong."""
        config = read_config(path, cls)
        _check_maps(path, config.maps)
        _check_modem(path, config.modem)
        if len(os.fsencode(config.socket.path)) > LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"{path}: socket.path may have at most {LONGEST_SOCKET_PATH} bytes, as a whole"
            )
        button = config.button
        if not button.short_s <= button.long_s < button.very_long_s < button.stuck_s:
            raise ConfigError(
                f"{path}: button.short_s, long_s, very_long_s and stuck_s must grow in that order"
            )
        return config

    def as_plain(self) -> dict[str, object]:
        """The configuration as plain values. It has no secrets; :mod:`device.redaction` still goes
        over it before it is shown."""
        value = _plain(self)
        assert isinstance(value, dict)
        return value


def credentials(
    config: DeviceConfig, environment: Mapping[str, str] = os.environ
) -> "ArcGISCredentialStore":
    """What to sign in with: the file of the configuration, else the one that the service manager
    hands over, else the environment. Empty if there is none."""
    from engine import ArcGISCredentialStore

    path = credentials_file(config, environment)
    if path is not None:
        return ArcGISCredentialStore.from_file(path)
    return ArcGISCredentialStore.from_environment(environment)


def credentials_file(
    config: DeviceConfig, environment: Mapping[str, str] = os.environ
) -> Path | None:
    """Where the credentials are, unless they are in the environment."""
    if config.credentials is not None:
        return config.credentials
    handed = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(handed, CREDENTIAL_NAME) if handed else None
    return path if path is not None and path.is_file() else None


def keys() -> Iterator[tuple[str, str]]:
    """Every key with its default as the file would have it; "" where it must be given.

    The keys of the link classes are told once, as ``links.CLASS.…``, with the default of each.
    """
    for section, (section_field, kind) in fields_of(Config).items():
        if section == "map":
            yield from _keys("map", MapConfig, None)
        else:
            yield from _keys(section, kind.type, section_field.default)


def _keys(where: str, section: type, instance: object) -> Iterator[tuple[str, str]]:
    classes: dict[str, list[str]] = {}
    for name, (one, kind) in fields_of(section).items():
        default = one.default if instance is None else getattr(instance, one.name)
        if kind.type is LinkClassConfig:
            for inner, text in _keys("links.CLASS", LinkClassConfig, default):
                classes.setdefault(inner, []).append(text)
        else:
            yield f"{where}.{name}", _default_text(default, kind.word)
    for name, texts in classes.items():
        yield name, texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _default_text(default: object, word: str | None) -> str:
    if default is dataclasses.MISSING:
        return ""
    if default is None:
        return word or "none"
    if isinstance(default, tuple):
        return ", ".join(spelled(one) for one in default)
    return "" if default == {} else spelled(default)


def _check_modem(path: Path, modem: ModemConfig) -> None:
    if modem.mode is ModemMode.DIRECT and not modem.apn:
        raise ConfigError(f"{path}: modem.apn is missing; the provider tells it")
    if not modem.apn.isascii() or not modem.apn.isprintable() or '"' in modem.apn:
        raise ConfigError(f"{path}: modem.apn cannot have quotes or letters beyond ASCII")


def _check_maps(path: Path, maps: tuple[MapConfig, ...]) -> None:
    for key in ("name", "folder"):
        seen: set[object] = set()
        for number, one in enumerate(maps, 1):
            value = getattr(one, key)
            if value in seen:
                raise ConfigError(f"{path}: map[{number}].{key} is there twice: {value}")
            seen.add(value)
    for number, one in enumerate(maps, 1):
        if not one.name.isascii() or not one.name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(
                f"{path}: map[{number}].name must be letters, digits, - and _, not {one.name!r}"
            )
        if one.direction is SyncDirection.NONE:
            raise ConfigError(
                f"{path}: map[{number}].direction must be one of "
                '"download", "upload", "bidirectional"'
            )


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: _plain(getattr(value, one.name))
            for name, (one, _) in fields_of(type(value)).items()
        }
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Enum | Path):
        return spelled(value)
    return value
