"""The emulated device: QEMU's arm64 ``virt`` board with Debian's unmodified kernel, without KVM.

Its power can be cut, its button pressed and its lamps watched; what a person would type is run by
an agent over a virtio port.
"""

import asyncio
import base64
import json
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.device_in_the_loop.board import Board
from tests.device_in_the_loop.image import MODULES, Image

BOOT_S = 180.0
"""A loaded machine without KVM takes a minute at times; a quiet one five seconds."""
ANSWER_S = 120.0
MEMORY_MB = 384


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A disk of the device, as QEMU's options; the first one given is ``/dev/vdc``."""

    options: tuple[str, ...]
    node: str

    @classmethod
    def raw(cls, path: Path) -> "Drive":
        """A file on the host, past whose cache nothing is held back."""
        node = f"disk-{path.stem}"
        return cls(
            options=(
                "-blockdev",
                f"driver=raw,node-name={node},file.driver=file,file.filename={path}",
            ),
            node=node,
        )

    @classmethod
    def logged(cls, path: Path, log: Path) -> "Drive":
        """The same, with every write and flush noted in ``log`` (the format of dm-log-writes)."""
        node = f"logged-{path.stem}"
        files = (
            f"driver=raw,node-name={node}-data,file.driver=file,file.filename={path}",
            f"driver=raw,node-name={node}-log,file.driver=file,file.filename={log}",
            f"driver=blklogwrites,node-name={node},file={node}-data,log={node}-log,log-sector-size=512",
        )
        return cls(options=tuple(word for one in files for word in ("-blockdev", one)), node=node)


@dataclass(slots=True)
class Machine:
    """A device that has booted."""

    folder: Path
    process: asyncio.subprocess.Process
    board: Board
    boot_s: float
    acknowledged: list[str] = field(default_factory=list)
    """Lines that the device wrote to ``/dev/acknowledged``."""
    on_acknowledged: Callable[[str], None] = lambda line: None
    _writer: asyncio.StreamWriter | None = None
    _answers: dict[int, asyncio.Future[Done]] = field(default_factory=dict)
    _number: int = 0

    async def run(self, command: str, *, timeout_s: float = ANSWER_S) -> Done:
        """Run a command in the device's shell."""
        assert self._writer is not None
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        request = {"id": self._number, "command": command, "timeout_s": timeout_s}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout_s + ANSWER_S):
                done: Done = await answer
        except TimeoutError as error:
            console = self.console()
            raise TimeoutError(f"the device does not answer: {command}\n{console}") from error
        return done

    async def output(self, command: str, *, timeout_s: float = ANSWER_S) -> str:
        """What a command prints; that it fails is an error."""
        done = await self.run(command, timeout_s=timeout_s)
        assert done.code == 0, f"{command}: exit code {done.code}\n{done.output}{self.console()}"
        return done.output

    async def python(self, code: str, *arguments: object, timeout_s: float = ANSWER_S) -> str:
        """What a Python program prints that runs on the device."""
        await self.put("/run/code.py", code)
        words = shlex.join(["python3", "/run/code.py", *map(str, arguments)])
        return await self.output(words, timeout_s=timeout_s)

    async def put(self, path: str, text: str) -> None:
        data = base64.b64encode(text.encode()).decode()
        await self.output(f"mkdir -p $(dirname {path}) && echo {data} | base64 -d > {path}")

    async def until(self, command: str, *, timeout_s: float = ANSWER_S) -> str:
        """Run a command until it succeeds; what it printed then."""
        end = monotonic() + timeout_s
        while (done := await self.run(command)).code:
            assert monotonic() < end, f"{command}: never came true\n{done.output}{self.console()}"
            await asyncio.sleep(0.5)  # each try costs the device a process
        return done.output

    def console(self) -> str:
        """The end of what the kernel and process 1 said."""
        return (self.folder / "console.log").read_text(errors="replace")[-3000:]

    async def cut_power(self) -> None:
        """At once, whatever it does."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def last_words(self) -> str:
        """What its programs and its kernel said last, for whoever asks why a test failed."""
        if self.process.returncode is not None:
            return "the device has no power"
        try:
            return (await self.run("tail -n 40 /run/*.log; dmesg | tail -n 5", timeout_s=10)).output
        except (TimeoutError, ConnectionError) as error:
            return str(error)


@asynccontextmanager
async def booted(
    image: Image,
    product: Path,
    folder: Path,
    *,
    drives: Sequence[Drive] = (),
    extra: Sequence[str] = (),
) -> AsyncIterator[Machine]:
    """A device with these disks, from the moment its agent answers; its power is cut at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    sockets = {
        name: folder / f"{name}.sock" for name in ("control", "acknowledged", "qmp", "qtest")
    }
    for path in sockets.values():
        path.unlink(missing_ok=True)
    started = monotonic()
    with open(folder / "qemu.log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_command(image, product, folder, sockets, drives), *extra, stdout=log, stderr=log
        )
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []
    try:
        control, writer = await _connected(sockets["control"], process, folder)
        lines, other = await _connected(sockets["acknowledged"], process, folder)
        writers += [writer, other]
        await _until_up(control, folder)
        board = await Board.connected(sockets["qtest"], sockets["qmp"])
        machine = Machine(folder=folder, process=process, board=board, boot_s=monotonic() - started)
        machine._writer = writer
        tasks.append(asyncio.create_task(_take_answers(control, machine), name="answers"))
        tasks.append(asyncio.create_task(_take_lines(lines, machine), name="acknowledged"))
        try:
            yield machine
        except Exception as error:
            error.add_note(await machine.last_words())
            raise
        finally:
            await board.close()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()


def _command(
    image: Image,
    product: Path,
    folder: Path,
    sockets: dict[str, Path],
    drives: Sequence[Drive],
) -> list[str]:
    root = f"if=none,id=root,file={image.root},format=raw,snapshot=on"
    code = f"if=none,id=code,file={product},format=raw,readonly=on"
    command = [
        *("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-accel", "tcg"),
        *("-m", str(MEMORY_MB), "-nodefaults", "-display", "none", "-no-reboot"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-dtb", str(image.device_tree)),
        *("-append", f"console=ttyAMA0 quiet panic=-1 device.modules={','.join(MODULES)}"),
        *("-serial", f"file:{folder / 'console.log'}"),
        *("-drive", root, "-device", "virtio-blk-pci,drive=root"),
        *("-drive", code, "-device", "virtio-blk-pci,drive=code"),
        *("-device", "virtio-serial-pci"),
    ]
    for name in ("control", "acknowledged"):
        command += [
            *("-chardev", f"socket,id={name},path={sockets[name]},server=on,wait=off"),
            *("-device", f"virtserialport,chardev={name},name={name}"),
        ]
    command += [
        *("-qmp", f"unix:{sockets['qmp']},server=on,wait=off"),
        *("-qtest", f"unix:{sockets['qtest']},server=on,wait=off", "-qtest-log", "none"),
    ]
    for drive in drives:
        command += [*drive.options, "-device", f"virtio-blk-pci,drive={drive.node},write-cache=on"]
    return command


async def _connected(
    path: Path, process: asyncio.subprocess.Process, folder: Path
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(BOOT_S):
        while True:
            try:
                return await asyncio.open_unix_connection(path, limit=1 << 24)
            except OSError:
                said = (folder / "qemu.log").read_text()
                assert process.returncode is None, f"QEMU has ended: {said}"
                await asyncio.sleep(0.05)


async def _until_up(control: asyncio.StreamReader, folder: Path) -> None:
    """The agent says a word when it is there."""
    try:
        async with asyncio.timeout(BOOT_S):
            is_up = bool(await control.readline())
    except TimeoutError:
        is_up = False
    said = [
        (folder / name).read_text(errors="replace")[-3000:]
        for name in ("qemu.log", "console.log")
        if (folder / name).exists()
    ]
    assert is_up, f"the device has not come up; QEMU and its console: {said}"


async def _take_answers(reader: asyncio.StreamReader, machine: Machine) -> None:
    while line := await reader.readline():
        answer = json.loads(line)
        waiting = machine._answers.pop(answer["id"], None)
        if waiting is not None and not waiting.done():
            waiting.set_result(Done(code=answer["code"], output=answer["output"]))
    for waiting in machine._answers.values():
        if not waiting.done():
            waiting.set_exception(ConnectionError("the device's power was cut"))


async def _take_lines(reader: asyncio.StreamReader, machine: Machine) -> None:
    while line := await reader.readline():
        text = line.decode().strip()
        machine.acknowledged.append(text)
        machine.on_acknowledged(text)
