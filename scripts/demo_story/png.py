"""Photos for the demo: small PNG pictures, drawn from a seed."""

import random
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RUNWAY = bytes([70, 70, 75])


def photo(seed: str, *, width: int = 160, height: int = 120) -> bytes:
    """A picture of a runway under a sky, grainy as a photo is; the same for the same seed."""
    chance = random.Random(seed)
    sky = bytes(chance.randint(low, low + 40) for low in (110, 150, 190))
    ground = bytes(chance.randint(low, low + 50) for low in (70, 100, 50))
    horizon = height // 3 + chance.randint(0, height // 6)
    length = 3 * width
    mask = int.from_bytes(b"\x07" * length)
    rows = bytearray()
    for y in range(height):
        if y < horizon:
            row = sky * width
        else:
            runway = min((y - horizon) * 2 // 3, width)
            verge = (width - runway) // 2
            row = ground * verge + RUNWAY * runway + ground * (width - runway - verge)
        # As numbers, two rows are added at once: no byte overflows into its neighbour.
        grain = int.from_bytes(chance.randbytes(length)) & mask
        rows.append(0)  # this line is stored as it is, without a filter
        rows += (int.from_bytes(row) + grain).to_bytes(length)
    return png(bytes(rows), width, height)


def png(rows: bytes, width: int, height: int) -> bytes:
    """A PNG file of 8-bit RGB ``rows``, each with its filter byte in front (ISO/IEC 15948)."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)
