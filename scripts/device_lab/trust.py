"""Whom a device of the measurements trusts: all that this machine does, and one more."""

import subprocess
from pathlib import Path

SYSTEM = Path("/etc/ssl/certs")
BUNDLE = "ca-certificates.crt"


def trust(certificate: Path, folder: Path) -> dict[str, str]:
    """Make ``folder`` as update-ca-certificates(8) does, with ``certificate`` in it;
    the environment in which OpenSSL takes it for the system's."""
    folder.mkdir()
    for entry in SYSTEM.iterdir():
        if entry.suffix.removeprefix(".").isdigit():
            (folder / entry.name).symlink_to(entry.resolve())
    text = certificate.read_text(encoding="ascii")
    (folder / BUNDLE).write_text((SYSTEM / BUNDLE).read_text(encoding="utf-8") + text)
    asked = ["openssl", "x509", "-noout", "-hash", "-in", str(certificate)]
    name = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (folder / f"{name}.0").symlink_to(certificate.resolve())
    return {"SSL_CERT_FILE": str(folder / BUNDLE), "SSL_CERT_DIR": str(folder)}
