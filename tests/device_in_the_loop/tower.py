"""A serial modem and the network behind it, outside the device.

The device sees a modem that answers AT commands on one serial port; after a dial its bytes go, no
faster than the line carries, to another serial port, where a pppd in a network namespace of the
same device plays the provider. So both ends of PPP are the kernel's own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.device_in_the_loop.machine import Machine

_BITS_PER_BYTE = 10
_ANSWERS = {
    "AT+CPIN?": ("+CPIN: READY", "OK"),
    "AT+CREG?": ("+CREG: 0,1", "OK"),
    "AT+CEREG?": ("+CEREG: 0,1", "OK"),
    "AT+CSQ": ("+CSQ: 17,99", "OK"),
}
HOST = "10.0.2.2"
"""The machine on which the emulator runs, as seen from the device (QEMU, user networking)."""
_CHAT = (
    "ABORT 'NO CARRIER' ABORT ERROR TIMEOUT 30 '' AT OK AT+CPIN? READY '\\c' OK "
    "'AT+CGDCONT=1,\"IP\",\"field\"' OK ATD*99# CONNECT '\\c'"
)
_PROVIDER = """\
ip netns add provider
ip link set eth0 netns provider
ip netns exec provider sh -c '
    ip link set lo up
    ip link set eth0 up
    ip addr add 10.0.2.14/24 dev eth0
    echo 1 > /proc/sys/net/ipv4/ip_forward
    while :; do
        pppd {line} 115200 local nocrtscts noauth nodetach passive nodefaultroute proxyarp \
            lcp-echo-interval 5 lcp-echo-failure 4 10.0.2.14:10.0.2.15
        sleep 0.2
    done' >/run/provider.log 2>&1 &
"""
_DIAL = (
    "pppd {modem} 115200 local nocrtscts noauth nodetach noipdefault defaultroute "
    "lcp-echo-interval 10 lcp-echo-failure 4 connect 'chat -f /run/chat' "
    ">/run/pppd.log 2>&1 & echo $! >/run/pppd.pid"
)


@dataclass(slots=True)
class Tower:
    """The modem and its line. ``bits_per_s`` may be changed at any time."""

    folder: Path
    bits_per_s: int = 115_200
    dials: int = 0
    sent_bytes: int = 0
    """Through the line, from the device."""
    received_bytes: int = 0
    _is_connected: bool = False
    _modem: asyncio.StreamWriter | None = None
    _line: asyncio.StreamWriter | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """What QEMU needs to plug it in."""
        ports = [f"socket,id={name},path={self.folder / name}" for name in ("modem", "line")]
        return (
            *("-netdev", "user,id=provider", "-device", "virtio-net-pci,netdev=provider,romfile="),
            *("-chardev", ports[0], "-device", "pci-serial,chardev=modem"),
            *("-chardev", ports[1], "-device", "pci-serial,chardev=line"),
        )

    async def set_up(self, machine: Machine) -> None:
        """Let the provider wait for a call; once after each boot."""
        modem, line = await _ports(machine)
        await machine.put("/run/modem", modem)
        await machine.put("/run/chat", _CHAT)
        await machine.put("/run/provider", _PROVIDER.format(line=line))
        await machine.output("sh /run/provider")

    async def dial(self, machine: Machine) -> None:
        """Let the device's own pppd dial, and wait until it has a route."""
        modem = (await machine.output("cat /run/modem")).strip()
        await machine.output(_DIAL.format(modem=modem))
        await machine.until(
            "ip -4 route show default | grep -q ppp0 || { cat /run/pppd.log; false; }"
        )

    async def hang_up(self, machine: Machine) -> None:
        """The device ends the call."""
        await machine.output("kill $(cat /run/pppd.pid)")
        await machine.until("! ip link show ppp0 >/dev/null 2>&1")
        self._is_connected = False

    async def serve(self, path: Path, *, is_modem: bool) -> asyncio.Server:
        path.unlink(missing_ok=True)
        return await asyncio.start_unix_server(self._modem_at if is_modem else self._line_at, path)

    async def _modem_at(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._modem, self._is_connected = writer, False
        rest, clock = b"", monotonic()
        with closing(writer):
            while data := await _read(reader):
                if self._is_connected:
                    clock = await self._pace(clock, len(data))
                    self.sent_bytes += len(data)
                    if self._line is not None:
                        self._line.write(data)
                    continue
                writer.write(data)  # the echo
                *commands, rest = (rest + data).split(b"\r")
                for command in commands:
                    self._answer(command.strip().decode("latin1").upper(), writer)

    def _answer(self, command: str, writer: asyncio.StreamWriter) -> None:
        command = command[max(command.rfind("AT"), 0) :]  # noise of an old call may come before
        lines = _ANSWERS.get(command, ("OK",))
        if command.startswith("ATD"):
            self.dials += 1
            lines = (f"CONNECT {self.bits_per_s}",)
        writer.write("".join(f"\r\n{line}\r\n" for line in lines).encode())
        self._is_connected = command.startswith("ATD")

    async def _line_at(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line, clock = writer, monotonic()
        with closing(writer):
            while data := await _read(reader):
                if not self._is_connected or self._modem is None:
                    continue
                clock = await self._pace(clock, len(data))
                self.received_bytes += len(data)
                self._modem.write(data)

    async def _pace(self, clock: float, size: int) -> float:
        """Wait until the line has carried so many bytes more."""
        clock = max(clock, monotonic()) + size * _BITS_PER_BYTE / self.bits_per_s
        if (ahead_s := clock - monotonic()) > 0.005:
            await asyncio.sleep(ahead_s)
        return clock


@asynccontextmanager
async def tower(folder: Path, *, bits_per_s: int = 115_200) -> AsyncIterator[Tower]:
    """A modem whose sockets are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Tower(folder=folder, bits_per_s=bits_per_s)
    servers = [
        await one.serve(folder / "modem", is_modem=True),
        await one.serve(folder / "line", is_modem=False),
    ]
    try:
        yield one
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()
        await asyncio.sleep(0)  # the last connections have ended with the device


async def _read(reader: asyncio.StreamReader) -> bytes:
    """A few bytes; none when the device is gone, however it went."""
    try:
        return await reader.read(64)
    except ConnectionError:
        return b""


async def _ports(machine: Machine) -> tuple[str, str]:
    """The serial ports of the modem and of the line, in the order in which they were plugged in."""
    found = await machine.output("grep -v unknown /proc/tty/driver/serial | grep -o '^[0-9]*:'")
    numbers = [int(word.rstrip(":")) for word in found.split()]
    return f"/dev/ttyS{numbers[-2]}", f"/dev/ttyS{numbers[-1]}"
