"""What the codecs raise: every error names its code and the byte at which it was found."""

from enum import IntEnum, unique


@unique
class ErrorCode(IntEnum):
    """Why input was refused. The values are those of ``enum fs_status`` in the C core."""

    TRUNCATED = -1
    SYNTAX = -2
    DEPTH = -3
    NUMBER = -4
    NOT_FINITE = -5
    TEXT = -6
    HEADER = -7
    GEOMETRY = -8
    CURVE = -9
    Z_MISSING = -10
    VERTEX = -11
    TRAILING = -12
    LIMIT = -13
    GUID = -14
    DATE = -15
    TYPE = -16
    LAYER = -17
    BASE64 = -18
    CHECKSUM = -19
    BASE = -20
    VERSION = -21

    @property
    def sentence(self) -> str:
        """The code in words, to stand in a message."""
        return _SENTENCES[self]


_SENTENCES = {
    ErrorCode.TRUNCATED: "the input ends inside a value",
    ErrorCode.SYNTAX: "the input does not have the expected form",
    ErrorCode.DEPTH: "the input is nested too deeply",
    ErrorCode.NUMBER: "a number is outside the range of its type",
    ErrorCode.NOT_FINITE: "NaN or infinity stands where a number belongs",
    ErrorCode.TEXT: "text is not valid Unicode",
    ErrorCode.HEADER: "the header is not the expected one",
    ErrorCode.GEOMETRY: "the geometry is of an unknown or unexpected type",
    ErrorCode.CURVE: "true curves are not supported",
    ErrorCode.Z_MISSING: "the layer has z values, a vertex has none",
    ErrorCode.VERTEX: "a vertex has too few or too many ordinates",
    ErrorCode.TRAILING: "bytes follow the end of the value",
    ErrorCode.LIMIT: "the input is larger than the limit allows",
    ErrorCode.GUID: "not a GUID",
    ErrorCode.DATE: "not an instant of the years 0001 to 9999",
    ErrorCode.TYPE: "a value of a type that the column cannot hold",
    ErrorCode.LAYER: "an entry names no layer, or one that was not announced",
    ErrorCode.BASE64: "attachment data is not base64",
    ErrorCode.CHECKSUM: "a checksum does not fit",
    ErrorCode.BASE: "the delta was made against another base",
    ErrorCode.VERSION: "the format version is not known",
}


class NativeError(Exception):
    """Input that a codec refused.

    ``code`` says why, ``offset`` where: bytes from the start of what was given to the codec.
    """

    def __init__(self, code: ErrorCode, offset: int) -> None:
        super().__init__(f"{code.sentence} (byte {offset})")
        self.code = code
        self.offset = offset


class GeometryError(NativeError):
    """A geometry that is not what it claims to be, or of a kind that has no other form."""


class DecodeError(NativeError):
    """A document whose structure is broken; what came before the error was handed out."""


class EncodeError(NativeError):
    """A row that has no form on the wire.

    ``row`` counts from 0 in the batch; ``column`` is the field's name, ``"geometry"``, or None.
    """

    def __init__(self, code: ErrorCode, offset: int, row: int, column: str | None) -> None:
        super().__init__(code, offset)
        self.row = row
        self.column = column
        self.args = (f"row {row}, {column or 'as a whole'}: {code.sentence}",)


class DeltaError(NativeError):
    """A delta that is broken, or that is not for what is at hand."""
