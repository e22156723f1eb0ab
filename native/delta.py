"""The ``.delta`` file: edits packed small, for keeping, carrying and thin links. See SPEC.md.

Self-contained, rows are named by GlobalID. Based, they are named by their rank among the sorted
GlobalIDs of a base that both sides hold, and values are written against it. A file is a header and
blocks of at most 4096 edits, each with its number and checksum: the unit of resume.
"""

from native.delta_header import MAGIC
from native.delta_model import Base, DeltaHeader, Section, digest
from native.delta_reader import Block, DeltaReader
from native.delta_writer import DeltaWriter
from native.operation import Operation

__all__ = [
    "MAGIC",
    "Base",
    "Block",
    "DeltaHeader",
    "DeltaReader",
    "DeltaWriter",
    "Operation",
    "Section",
    "digest",
]
