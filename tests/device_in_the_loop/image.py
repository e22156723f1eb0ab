"""The disks of the emulated device: Debian 12 for arm64 with its own kernel, and the product.

Everything comes from the mirror that apt uses; nothing of it is run on the host, so neither binfmt
nor another emulator is needed. What Debian makes is kept in ``.cache/device`` and made again when
the list of packages or this recipe changes; the product is made anew each time.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tests.sources import ROOT

CACHE = ROOT / ".cache" / "device"
GUEST = Path(__file__).parent / "guest"
SUITE = "bookworm"
PACKAGES = (
    *(
        "base-files",
        "base-passwd",
        "busybox-static",
        "coreutils",
        "dash",
        "debianutils",
        "findutils",
    ),
    *(
        "grep",
        "hostname",
        "iproute2",
        "kmod",
        "libc-bin",
        "mount",
        "ppp",
        "procps",
        "sed",
        "util-linux",
    ),
    *("python3", "python3-aiohttp", "python3-aiosqlite", "python3-cffi-backend", "python3-serial"),
    "linux-image-arm64",
)
NEEDED_TO_MOUNT = ("virtio_pci", "virtio_blk", "ext4")
MODULES = (
    "virtio_console",
    "leds-gpio",
    "ledtrig-pattern",
    "gpio_keys",
    "evdev",
    "ppp_async",
    "virtio_net",
    "xhci_pci",
    "ftdi_sio",
)
"""What the device loads when it is up; the last of them, and their like, are its hardware."""
ALSO = ("ppp_deflate", "bsd_comp")
TOOLS = {
    "qemu-system-aarch64": "qemu-system-arm",
    "mmdebstrap": "mmdebstrap",
    "dtc": "device-tree-compiler",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "modprobe": "kmod",
    "cpio": "cpio",
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
}
"""Program → Debian package."""
LEDS = {"link": 0, "sync": 1, "attention": 2}
"""Name → line of the GPIO controller."""
BUTTON_LINE, BUTTON_CODE = 5, 148
NO_RESOLVER = "# nobody tells names here\n"
"""What ``/etc/resolv.conf`` says without a link."""

_NO_USE = (
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "usr/share/perl5",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    initrd: Path
    device_tree: Path
    root: Path
    versions: str
    """Package and version, one a line."""


def missing_tools() -> list[str]:
    """The Debian packages that are not installed here."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)})


def ready_image() -> Image:
    """The image of this recipe, from the cache or made now (about a minute)."""
    recipe = _recipe()
    found = sorted(CACHE.glob(f"*-arm64-{recipe}"))
    folder = found[-1] if found else _made(recipe)
    return Image(
        kernel=folder / "vmlinuz",
        initrd=folder / "initrd",
        device_tree=folder / "device.dtb",
        root=folder / "root.ext4",
        versions=(folder / "versions").read_text(),
    )


def _recipe() -> str:
    parts = (Path(__file__).read_bytes(), (GUEST / "init").read_bytes(), repr(PACKAGES).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _made(recipe: str) -> Path:
    """Build everything in a scratch folder, then give it the name by which it is found."""
    CACHE.mkdir(parents=True, exist_ok=True)
    scratch = CACHE / "partial"
    shutil.rmtree(scratch, ignore_errors=True)
    root, made = scratch / "root", scratch / "made"
    root.mkdir(parents=True)
    made.mkdir()
    _unpack_debian(scratch / "root.tar", root, scratch / "debs")
    kernel = next((root / "lib/modules").iterdir()).name
    (root / f"boot/vmlinuz-{kernel}").rename(made / "vmlinuz")
    (made / "versions").write_text(_versions((scratch / "debs").read_text()))
    _make_initrd(root, kernel, scratch / "initrd", made / "initrd")
    _slim(root, kernel)
    _finish(root)
    make_disk(root, made / "root.ext4", size="400M", label="root")
    _make_device_tree(scratch, made / "device.dtb")
    for old in CACHE.glob("*-arm64-*"):
        shutil.rmtree(old)
    folder = CACHE / f"{kernel}-{recipe}"
    made.rename(folder)
    shutil.rmtree(scratch)
    return folder


def _run(*command: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Its output; what it complained of becomes part of the error."""
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"} | (env or {})
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:200]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _unpack_debian(archive: Path, root: Path, debs: Path) -> None:
    _run(
        "mmdebstrap",
        *("--variant=extract", "--architectures=arm64", "--mode=root", "--skip=check/qemu"),
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        f'--extract-hook=ls "$1/var/cache/apt/archives" >{shlex.quote(str(debs))}',
        f"--include={','.join(PACKAGES)}",
        SUITE,
        archive,
    )
    _run("tar", "-xf", archive, "-C", root)
    archive.unlink()


def _versions(debs: str) -> str:
    """``name version``, one a line, of files as apt names them: ``dash_0.5.12-2_arm64.deb``."""
    names = [line.split("_") for line in debs.splitlines() if line.endswith(".deb")]
    return "".join(f"{name} {unquote(version)}\n" for name, version, _ in sorted(names))


def _modules(root: Path, kernel: str, names: tuple[str, ...]) -> list[Path]:
    """The files of those modules and of all they need, in the order of loading."""
    if not (root / "lib/modules" / kernel / "modules.dep").exists():
        _run("depmod", "-b", root, kernel)
    files: list[Path] = []
    for name in names:
        shown = _run("modprobe", "-d", root, "-S", kernel, "--show-depends", name)
        for line in shown.splitlines():
            kind, _, path = line.partition(" ")
            if kind == "insmod" and Path(path.strip()) not in files:
                files.append(Path(path.strip()))
    return files


def _make_initrd(root: Path, kernel: str, folder: Path, target: Path) -> None:
    """The disk's driver is a module, so something must load it before there is a disk."""
    for name in ("bin", "lib", "proc", "sys", "dev", "disk"):
        (folder / name).mkdir(parents=True)
    shutil.copy(root / "usr/bin/busybox", folder / "bin/busybox")
    loads = []
    for module in _modules(root, kernel, NEEDED_TO_MOUNT):
        shutil.copy(module, folder / "lib")
        loads.append(f"insmod /lib/{module.name}")
    init = folder / "init"
    init.write_text(
        "\n".join(
            (
                "#!/bin/busybox sh",
                "/bin/busybox --install -s /bin",
                "mount -t proc proc /proc && mount -t sysfs sys /sys",
                "mount -t devtmpfs dev /dev",
                *loads,
                "while ! [ -b /dev/vda ]; do sleep 0.05; done",
                "mount -t ext4 -o rw /dev/vda /disk || exec sh",
                "mount --move /dev /disk/dev; umount /sys /proc",
                "exec switch_root /disk /sbin/init",
                "",
            )
        )
    )
    init.chmod(0o755)
    names = "\n".join(str(p.relative_to(folder)) for p in sorted(folder.rglob("*")))
    with open(target, "wb") as stream:
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            cwd=folder,
            input=names.encode(),
            stdout=stream,
            check=True,
            timeout=60,
        )


def _slim(root: Path, kernel: str) -> None:
    """What nobody reads on this device goes, and all modules but those that are loaded."""
    kept = {p.resolve() for p in _modules(root, kernel, (*MODULES, *ALSO, *NEEDED_TO_MOUNT))}
    for path in (root / "lib/modules" / kernel).rglob("*.ko"):
        if path.resolve() not in kept:
            path.unlink()
    _run("depmod", "-b", root, kernel)
    for name in (*_NO_USE, "boot", "usr/lib/udev", "usr/lib/aarch64-linux-gnu/gconv"):
        shutil.rmtree(root / name, ignore_errors=True)


def _finish(root: Path) -> None:
    """What the packages' own scripts would have done, as far as this device needs it."""
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    for name in ("dev", "proc", "sys", "run", "tmp", "root", "data", "opt/fieldsync"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)
    with open(root / "etc/passwd", "a") as stream:
        stream.write("fieldsync:x:990:990::/data/state:/usr/sbin/nologin\n")
    with open(root / "etc/group", "a") as stream:
        stream.write("fieldsync:x:990:\ninput:x:991:fieldsync\n")
    (root / "etc/resolv.conf").write_text(NO_RESOLVER)
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/machine-id").write_text("f1e1d0000000000000000000000000a1\n")
    (root / "etc/mtab").unlink(missing_ok=True)
    (root / "etc/mtab").symlink_to("/proc/mounts")
    init = root / "usr/sbin/init"
    init.unlink(missing_ok=True)
    shutil.copy(GUEST / "init", init)
    init.chmod(0o755)
    for folder in ("usr/lib/python3.11", "usr/lib/python3/dist-packages"):
        compile_python(root / folder, f"/{folder}")


def compile_python(folder: Path, seen_as: str) -> None:
    """Without compiled modules each start costs the emulated processor many seconds.

    Only Python 3.11, which Debian 12 has, writes files that the device can use.
    """
    if sys.version_info[:2] != (3, 11):
        return
    compiler = [sys.executable, "-m", "compileall", "-q", "-j2", "--invalidation-mode"]
    _ = subprocess.run(  # a few files of the library are meant not to compile
        [*compiler, "unchecked-hash", "-s", str(folder), "-p", seen_as, str(folder)],
        stdout=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


def make_disk(folder: Path, target: Path, *, size: str, label: str) -> None:
    """A disk with ext4, as it is usual, that holds what is in the folder."""
    target.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-L", label, "-d", folder, target, size)


def make_product_disk(scratch: Path, target: Path) -> None:
    """The checkout as the device has it: Python sources, and the extension for its processor."""
    product = scratch / "product"
    shutil.rmtree(product, ignore_errors=True)
    for name in ("engine", "device", "native", "tests/device_in_the_loop", "tests/fakes"):
        shutil.copytree(
            ROOT / name,
            product / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.so", "fuzz"),
        )
    (product / "tests/__init__.py").touch()
    shutil.copy(_extension(scratch), product / "native")
    compile_python(product, "/opt/fieldsync")
    make_disk(product, target, size="32M", label="product")


def _extension(scratch: Path) -> Path:
    """The extension, compiled for the device's processor, unless that was done before.

    The headers of Python say the same on both processors: both are 64-bit and little-endian, and
    only the limited API is used.
    """
    sources = sorted(p for p in (ROOT / "native").rglob("*") if p.suffix in (".c", ".h"))
    sources.append(ROOT / "native" / "build.py")
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    kept = CACHE / "extension" / digest[:12] / "_native.abi3.so"
    if not kept.exists():
        shutil.rmtree(CACHE / "extension", ignore_errors=True)
        cross = {
            "CC": "aarch64-linux-gnu-gcc",
            "LDSHARED": "aarch64-linux-gnu-gcc -shared",
            "CFLAGS": f"-I{sysconfig.get_path('include')}",
            "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        }
        built = scratch / "built"
        _run(
            *(sys.executable, "setup.py", "-q", "build_ext"),
            *("--build-lib", built, "--build-temp", scratch / "build"),
            cwd=ROOT,
            env=cross,
        )
        kept.parent.mkdir(parents=True)
        shutil.move(built / "native" / kept.name, kept)
    return kept


def _make_device_tree(scratch: Path, target: Path) -> None:
    """QEMU's own board, with a button and three lamps on its GPIO controller."""
    dumped = scratch / "virt.dtb"
    _run(
        *("qemu-system-aarch64", "-machine", f"virt,dumpdtb={dumped}", "-cpu", "cortex-a53"),
        *("-display", "none", "-nodefaults"),
    )
    text = _run("dtc", "-q", "-I", "dtb", "-O", "dts", dumped)
    controller = text.split("pl061@")[1].split("phandle = <")[1].split(">")[0]
    lamps = "".join(
        f'    {name} {{ label = "fieldsync:{name}"; gpios = <{controller} {line} 0>; '
        'linux,default-trigger = "none"; };\n'
        for name, line in LEDS.items()
    )
    nodes = (
        f'  fieldsync-lamps {{ compatible = "gpio-leds";\n{lamps}  }};\n'
        '  fieldsync-button { compatible = "gpio-keys";\n'
        f'    sync {{ label = "SYNC"; gpios = <{controller} {BUTTON_LINE} 0>; '
        f"linux,code = <{BUTTON_CODE}>; debounce-interval = <20>; }};\n  }};\n"
    )
    source = scratch / "device.dts"
    source.write_text(text.rstrip().removesuffix("};") + nodes + "};\n")
    _run("dtc", "-q", "-I", "dts", "-O", "dtb", "-o", target, source)
