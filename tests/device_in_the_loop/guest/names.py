"""The provider's name server: knows one name (RFC 1035, 4.1).

``names.py ADDRESS NAME ITS_ADDRESS``
"""

import socket
import struct
import sys

FOUND, NO_SUCH_NAME = 0x8180, 0x8183


def answer(question: bytes, name: str, address: str) -> bytes:
    """The answer to a question as it came; any but the first in it is left out."""
    end, labels = 12, []
    while size := question[end]:
        labels.append(question[end + 1 : end + 1 + size].decode("ascii", "replace"))
        end += 1 + size
    kind, end = struct.unpack_from(">H", question, end + 1)[0], end + 5
    is_known = ".".join(labels).lower() == name
    records = b""
    if is_known and kind == 1:
        records = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
    code = FOUND if is_known else NO_SUCH_NAME
    return (
        question[:2] + struct.pack(">5H", code, 1, bool(records), 0, 0) + question[12:end] + records
    )


def main(own: str, name: str, address: str) -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind((own, 53))
    while True:
        question, asker = listening.recvfrom(512)
        listening.sendto(answer(question, name, address), asker)


if __name__ == "__main__":
    main(*sys.argv[1:])
