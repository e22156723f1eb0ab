"""Types of the compiled core. A test keeps the names equal to those of the extension."""

from collections.abc import Sequence
from typing import Literal, overload

class _Pointer:
    """Any pointer or array handed to the core."""

    def __len__(self) -> int: ...
    def __add__(self, bytes_on: int) -> _Pointer: ...

class _Doubles(_Pointer):
    def __getitem__(self, index: int) -> float: ...

class _Integers(_Pointer):
    def __getitem__(self, index: int) -> int: ...

class _Result(_Pointer):
    size: int
    offset: int

class _Batch(_Pointer):
    kind: int
    operation: int
    attachments: int
    layer: int
    size: int
    count: int

class _Progress(_Pointer):
    written: int
    at: int
    row: int
    column: int
    rows: int

class _Pointers:
    def __setitem__(self, index: int, value: _Pointer) -> None: ...

class _Sizes:
    def __getitem__(self, index: int) -> int: ...
    def __setitem__(self, index: int, value: int) -> None: ...

class _Streams(_Pointer):
    data: _Pointers
    cap: _Sizes
    size: _Sizes
    at: _Sizes

class _List(_Pointer):
    data: _Pointer
    size: int

class _Box:
    key: int

class _Boxes(_Pointer):
    def __getitem__(self, index: int) -> _Box: ...

class _Struct(_Pointer):
    """A structure that Python fills: members as the header names them."""

    def __getitem__(self, index: int) -> _Struct: ...
    def __setattr__(self, member: str, value: int | _Pointer) -> None: ...

class _Buffer:
    def __getitem__(self, part: slice) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class _FFI:
    NULL: _Pointer
    @overload
    def new(self, cdecl: Literal["struct fs_result *"], /) -> _Result: ...
    @overload
    def new(self, cdecl: Literal["struct fs_batch *"], /) -> _Batch: ...
    @overload
    def new(self, cdecl: Literal["struct fs_encode_progress *"], /) -> _Progress: ...
    @overload
    def new(self, cdecl: Literal["struct fs_delta_streams *"], /) -> _Streams: ...
    @overload
    def new(self, cdecl: Literal["struct fs_delta_list *"], /) -> _List: ...
    @overload
    def new(self, cdecl: Literal["size_t *"], /) -> _Integers: ...
    @overload
    def new(self, cdecl: Literal["double[4]", "double *"], /) -> _Doubles: ...
    @overload
    def new(
        self, cdecl: Literal["uint8_t[]", "char[]", "uint16_t[]", "double[]"], size: int, /
    ) -> _Pointer: ...
    @overload
    def new(self, cdecl: Literal["int64_t[]"], values: Sequence[int] | int, /) -> _Integers: ...
    @overload
    def new(self, cdecl: Literal["size_t[]"], size: int, /) -> _Integers: ...
    @overload
    def new(self, cdecl: Literal["double[]"], values: list[float], /) -> _Doubles: ...
    @overload
    def new(self, cdecl: Literal["struct fs_box[]"], count: int, /) -> _Boxes: ...
    @overload
    def new(
        self,
        cdecl: Literal["struct fs_layer[]", "struct fs_column[]", "struct fs_cell[]"],
        count: int,
        /,
    ) -> _Struct: ...
    @overload
    def new(self, cdecl: Literal["struct fs_decode_config *", "struct fs_delta_work *", "struct fs_rtree_plan *"], /) -> _Struct: ...
    def cast(self, cdecl: str, pointer: _Pointer, /) -> _Pointer: ...
    def memmove(self, to: _Pointer, source: _Pointer | bytes | bytearray, size: int, /) -> None: ...
    def addressof(self, array: _Pointer, index: int, /) -> _Pointer: ...
    def from_buffer(self, data: bytes | bytearray | memoryview, /) -> _Pointer: ...
    def unpack(self, data: _Integers, count: int, /) -> list[int]: ...
    def buffer(self, data: _Pointer, size: int, /) -> _Buffer: ...

class _Lib:
    FS_OK: int
    FS_NEED_OUTPUT: int
    FS_NEED_WORK: int
    FS_EMPTY: int
    FS_NEED_INPUT: int
    FS_NEED_ITEM: int
    FS_BATCH: int
    FS_DONE: int
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
    FS_ERR_GUID: int
    FS_ERR_DATE: int
    FS_ERR_TYPE: int
    FS_ERR_LAYER: int
    FS_ERR_BASE64: int
    FS_ERR_CHECKSUM: int
    FS_ERR_BASE: int
    FS_ERR_VERSION: int

    FS_GEOMETRY_ANY: int
    FS_GEOMETRY_POINT: int
    FS_GEOMETRY_MULTIPOINT: int
    FS_GEOMETRY_POLYLINE: int
    FS_GEOMETRY_POLYGON: int

    FS_DIMS_XY: int
    FS_DIMS_Z: int
    FS_DIMS_M: int
    FS_DIMS_ZM: int

    FS_COLUMN_INTEGER: int
    FS_COLUMN_REAL: int
    FS_COLUMN_TEXT: int
    FS_COLUMN_GUID: int
    FS_COLUMN_DATE: int

    FS_BATCH_NONE: int
    FS_BATCH_ROWS: int
    FS_BATCH_PARTIAL: int
    FS_BATCH_DELETES: int
    FS_BATCH_ATTACHMENT_DATA: int
    FS_BATCH_ATTACHMENTS: int
    FS_BATCH_RESULTS: int
    FS_BATCH_HEADER: int
    FS_BATCH_BAD: int
    FS_BATCH_LATE: int

    FS_ENCODE_ADDS: int
    FS_ENCODE_UPDATES: int

    FS_DELTA_NUMBERS: int
    FS_DELTA_TEXTS: int
    FS_DELTA_RAW: int

    FS_DATA: int
    FS_ADDS: int
    FS_UPDATES: int
    FS_DELETES: int

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
    def fs_layer_prepare(self, layer: _Pointer, /) -> int: ...
    def fs_decoder_size(self) -> int: ...
    def fs_decode_init(self, decoder: _Pointer, config: _Pointer, /) -> int: ...
    def fs_decode_run(
        self,
        decoder: _Pointer,
        input: _Pointer,
        size: int,
        last: bool,
        taken: _Pointer,
        batch: _Pointer,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_decode_give(self, decoder: _Pointer, need: int, buffer: _Pointer, size: int, /) -> int: ...
    def fs_encode_rows(
        self,
        layer: _Pointer,
        form: int,
        batch: _Pointer,
        size: int,
        progress: _Pointer,
        out: _Pointer,
        out_size: int,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_delta_put(
        self,
        column_type: int,
        values: _Pointer,
        base: _Pointer,
        work: _Pointer,
        streams: _Pointer,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_delta_get(
        self,
        column_type: int,
        count: int,
        base: _Pointer,
        work: _Pointer,
        streams: _Pointer,
        out: _Pointer,
        out_size: int,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_delta_put_geometry(
        self,
        layer: _Pointer,
        values: _Pointer,
        base: _Pointer,
        work: _Pointer,
        shapes: _Pointer,
        shapes_size: int,
        streams: _Pointer,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_delta_get_geometry(
        self,
        layer: _Pointer,
        count: int,
        base: _Pointer,
        work: _Pointer,
        shapes: _Pointer,
        shapes_size: int,
        streams: _Pointer,
        out: _Pointer,
        out_size: int,
        result: _Pointer,
        /,
    ) -> int: ...
    def fs_rtree_boxes(
        self,
        bounds: _Pointer,
        count: int,
        first_key: int,
        keys: _Pointer,
        boxes: _Pointer,
        extent: _Pointer,
        /,
    ) -> int: ...
    def fs_rtree_sort(
        self,
        boxes: _Pointer,
        count: int,
        work: _Pointer,
        /,
    ) -> None: ...
    def fs_rtree_part(
        self,
        boxes: _Pointer,
        count: int,
        limits: _Pointer,
        limit_count: int,
        out: _Pointer,
        sizes: _Pointer,
        /,
    ) -> None: ...
    def fs_rtree_node(
        self,
        boxes: _Pointer,
        count: int,
        depth: int,
        node_size: int,
        node: _Pointer,
        /,
    ) -> int: ...
    def fs_rtree_pack(
        self,
        plan: _Pointer,
        boxes: _Pointer,
        count: int,
        work: _Pointer,
        first_node: int,
        room: int,
        nodes: _Pointer,
        parents: _Pointer,
        places: _Pointer,
        result: _Pointer,
        /,
    ) -> int: ...

ffi: _FFI
lib: _Lib
