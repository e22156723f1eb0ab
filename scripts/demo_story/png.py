"""Photos for the demo: small PNG pictures, drawn from a seed."""

import random
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photo(seed: str, *, width: int = 160, height: int = 120) -> bytes:
    """A picture of a runway under a sky, grainy as a photo is; the same for the same seed."""
    chance = random.Random(seed)
    sky = [chance.randint(90, 220) for _ in range(3)]
    ground = [chance.randint(40, 120) for _ in range(3)]
    horizon = height // 3 + chance.randint(0, height // 6)
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # this line is stored as it is, without a filter
        half_runway = (y - horizon) // 3 if y > horizon else -1
        grain = chance.randbytes(width)
        for x in range(width):
            is_runway = abs(x - width // 2) < half_runway
            base = [70, 70, 75] if is_runway else sky if y < horizon else ground
            shade = grain[x] % 16
            rows += bytes(value + shade for value in base)
    return png(bytes(rows), width, height)


def png(rows: bytes, width: int, height: int) -> bytes:
    """A PNG file of 8-bit RGB ``rows``, each with its filter byte in front (ISO/IEC 15948)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)
