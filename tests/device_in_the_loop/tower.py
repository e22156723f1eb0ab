"""A USB modem and the network behind it, outside the device.

The device sees a modem that speaks one of the recorded dialects on a serial port; after a dial its
bytes go, no faster than the line carries, to another serial port, where a pppd in a network
namespace of the same device plays the provider. So both ends of PPP are the kernel's own. The modem
has its own power and no wire for DTR: a call that nobody ends goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.device_in_the_loop.machine import ANSWER_S, Machine
from tests.fakes.modem import SIM7600, Dialect, FakeModem

_BITS_PER_BYTE = 10
_TERMINATED = b"\xc0\x21\x7d\x26"
"""How an LCP Terminate-Ack begins, escaped as all of LCP is (RFC 1661, 5.5; RFC 1662, 4.2). The
modem, which is between the two ends, hears it and ends the call."""
HOST = "10.0.2.2"
"""The machine on which the emulator runs, as seen from the device (QEMU, user networking)."""
NAME = "service.field"
"""Its name, which only the provider's name server knows."""
USER, PASSWORD, PIN = "web", "s3cret", "1234"
_OFFICE = f"""\
ip link set eth0 up
ip addr add 10.0.2.14/24 dev eth0
ip route add default via {HOST}
echo "{HOST} {NAME}" >/etc/hosts
"""
_PROVIDER = f"""\
mkdir -p /etc/netns/provider/ppp
echo '{USER} provider {PASSWORD} *' >/etc/netns/provider/ppp/chap-secrets
: >/etc/netns/provider/ppp/options
: >/etc/hosts
ip netns add provider
ip link set eth0 netns provider
ip netns exec provider sh -c '
    ip link set lo up
    ip link set eth0 up
    ip addr add 10.0.2.14/24 dev eth0
    echo 1 > /proc/sys/net/ipv4/ip_forward
    python3 /opt/fieldsync/tests/device_in_the_loop/guest/names.py 10.0.2.14 {NAME} {HOST} &
    while :; do
        pppd {{line}} 115200 local nocrtscts nodetach passive nodefaultroute proxyarp \
            noccp require-chap name provider ms-dns 10.0.2.14 \
            lcp-echo-interval 5 lcp-echo-failure 4 10.0.2.14:10.0.2.15
        sleep 0.2
    done' >/run/provider.log 2>&1 &
"""


@dataclass(slots=True)
class Tower:
    """The modem and its line. ``bits_per_s`` and ``modem`` may be changed at any time."""

    folder: Path
    bits_per_s: int = 115_200
    modem: FakeModem = field(default_factory=FakeModem)
    dials: int = 0
    sent_bytes: int = 0
    """Through the line, from the device."""
    received_bytes: int = 0
    _port: asyncio.StreamWriter | None = None
    _line: asyncio.StreamWriter | None = None
    _server: asyncio.Server | None = None
    _happened: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def options(self) -> tuple[str, ...]:
        """What QEMU needs to plug it in."""
        ports = [f"socket,id={name},path={self.folder / name}" for name in ("modem", "line")]
        return (
            *("-netdev", "user,id=provider", "-device", "virtio-net-pci,netdev=provider,romfile="),
            *("-device", "qemu-xhci", "-chardev", f"{ports[0]},reconnect=1"),
            *("-device", "usb-serial,chardev=modem"),
            *("-chardev", ports[1], "-device", "pci-serial,chardev=line"),
        )

    def put_in(self, dialect: Dialect) -> None:
        """Another modem; calls of the last one are over."""
        self.modem = FakeModem(dialect=dialect, pin=PIN)

    async def connect_office(self, machine: Machine) -> None:
        """The network of the office, by a cable."""
        await machine.output(_OFFICE)

    async def leave_office(self, machine: Machine) -> None:
        """Pull the cable out; the provider waits for a call. Once after each boot."""
        await machine.put("/run/provider", _PROVIDER.format(line=await _line_port(machine)))
        await machine.output("sh /run/provider")

    async def until(self, *, is_online: bool, timeout_s: float = ANSWER_S) -> None:
        """Wait until the modem is in a call, or in none."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.modem.is_online is not is_online:
                    self._happened.clear()
                    await self._happened.wait()
        except TimeoutError as error:
            wanted = "in a call" if is_online else "out of its call"
            heard = self.modem.heard[-5:]
            raise TimeoutError(f"the modem is not {wanted}; it heard last: {heard}") from error

    async def plug_in(self) -> None:
        self._server = await asyncio.start_unix_server(self._modem_at, self.folder / "modem")

    async def pull_out(self) -> None:
        """The port is gone from the device; the modem loses its power."""
        assert self._server is not None
        self._server.close()
        (self.folder / "modem").unlink()
        if self._port is not None:
            self._port.close()
        self.put_in(self.modem.dialect)

    async def _modem_at(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._port = writer
        sent, clock = b"", monotonic()
        with closing(writer):
            while data := await _read(reader):
                self.modem.send = writer.write
                self.modem.on_data = self._to_line
                was_online = self.modem.is_online
                if was_online:
                    clock = await self._pace(clock, len(data))
                    self.sent_bytes += len(data)
                self.modem.receive(data)
                self.dials += self.modem.is_online and not was_online
                sent = (sent + data)[-64 - len(_TERMINATED) :]
                if _TERMINATED in sent:
                    sent = b""
                    self.modem.hang_up()
                self._happened.set()

    def _to_line(self, data: bytes) -> None:
        if self._line is not None:
            self._line.write(data)

    async def _line_at(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line, received, clock = writer, b"", monotonic()
        with closing(writer):
            while data := await _read(reader):
                if not self.modem.is_online or self._port is None:
                    continue
                clock = await self._pace(clock, len(data))
                self.received_bytes += len(data)
                self._port.write(data)
                received = (received + data)[-64 - len(_TERMINATED) :]
                if _TERMINATED in received:
                    received = b""
                    self.modem.hang_up()
                self._happened.set()

    async def _pace(self, clock: float, size: int) -> float:
        """Wait until the line has carried so many bytes more."""
        clock = max(clock, monotonic()) + size * _BITS_PER_BYTE / self.bits_per_s
        if (ahead_s := clock - monotonic()) > 0.005:
            await asyncio.sleep(ahead_s)
        return clock


@asynccontextmanager
async def tower(folder: Path, *, dialect: Dialect = SIM7600) -> AsyncIterator[Tower]:
    """A modem whose sockets are in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Tower(folder=folder)
    one.put_in(dialect)
    (folder / "line").unlink(missing_ok=True)
    line = await asyncio.start_unix_server(one._line_at, folder / "line")
    await one.plug_in()
    try:
        yield one
    finally:
        for server in (line, one._server):
            if server is not None:
                server.close()
                await server.wait_closed()
        await asyncio.sleep(0)  # the last connections have ended with the device


async def _read(reader: asyncio.StreamReader) -> bytes:
    """A few bytes; none when the device is gone, however it went."""
    try:
        return await reader.read(64)
    except ConnectionError:
        return b""


async def _line_port(machine: Machine) -> str:
    """The serial port at the other end of the line: the only one that is not the console's."""
    found = await machine.output("grep -v unknown /proc/tty/driver/serial | grep -o '^[0-9]*:'")
    return f"/dev/ttyS{found.split()[-1].rstrip(':')}"
