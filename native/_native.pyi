"""Types of the compiled core. A test keeps the names equal to those of the extension."""

from typing import Literal, overload

class _Pointer:
    """Any pointer or array handed to the core."""

    def __len__(self) -> int: ...

class _Doubles(_Pointer):
    def __getitem__(self, index: int) -> float: ...

class _Result(_Pointer):
    size: int
    offset: int

class _Buffer:
    def __getitem__(self, part: slice) -> bytes: ...

class _FFI:
    NULL: _Pointer
    @overload
    def new(self, cdecl: Literal["struct fs_result *"], /) -> _Result: ...
    @overload
    def new(self, cdecl: Literal["double[4]", "double *"], /) -> _Doubles: ...
    @overload
    def new(self, cdecl: Literal["uint8_t[]", "char[]"], size: int, /) -> _Pointer: ...
    def from_buffer(self, data: bytes | bytearray | memoryview, /) -> _Pointer: ...
    def buffer(self, data: _Pointer, size: int, /) -> _Buffer: ...

class _Lib:
    FS_OK: int
    FS_NEED_OUTPUT: int
    FS_NEED_WORK: int
    FS_EMPTY: int
    FS_ERR_TRUNCATED: int
    FS_ERR_SYNTAX: int
    FS_ERR_DEPTH: int
    FS_ERR_NUMBER: int
    FS_ERR_NOT_FINITE: int
    FS_ERR_TEXT: int
    FS_ERR_HEADER: int
    FS_ERR_GEOMETRY: int
    FS_ERR_CURVE: int
    FS_ERR_Z_MISSING: int
    FS_ERR_VERTEX: int
    FS_ERR_TRAILING: int
    FS_ERR_LIMIT: int

    FS_GEOMETRY_ANY: int
    FS_GEOMETRY_POINT: int
    FS_GEOMETRY_MULTIPOINT: int
    FS_GEOMETRY_POLYLINE: int
    FS_GEOMETRY_POLYGON: int

    FS_DIMS_XY: int
    FS_DIMS_Z: int
    FS_DIMS_M: int
    FS_DIMS_ZM: int

    def fs_geometry_from_esri(
        self,
        json: _Pointer,
        json_size: int,
        kind: int,
        srs_id: int,
        dims: int,
        work: _Pointer,
        work_size: int,
        out: _Pointer,
        out_size: int,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_geometry_to_esri(
        self,
        blob: _Pointer,
        blob_size: int,
        kind: int,
        out: _Pointer,
        out_size: int,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_geometry_envelope(
        self,
        blob: _Pointer,
        blob_size: int,
        bounds: _Pointer,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_number_print(self, value: float, text: _Pointer, /) -> int: ...
    def fs_number_parse(
        self,
        text: _Pointer,
        size: int,
        value: _Pointer,
        /,
    ) -> int: ...

ffi: _FFI
lib: _Lib
