"""How the extension ``native._native`` is compiled: read by setup.py, never run by itself.

Sources are named relative to setup.py, so a build starts at the root of the checkout:
``python setup.py build_ext --inplace``.
"""

from pathlib import Path

from cffi import FFI

FOLDER = Path("native")

ffi = FFI()
ffi.cdef((FOLDER / "native.cdef.h").read_text(encoding="utf-8"))
ffi.set_source(
    "native._native",
    "".join(f'#include "{header.name}"\n' for header in sorted((FOLDER / "include").glob("*.h"))),
    sources=[source.as_posix() for source in sorted((FOLDER / "src").glob("*.c"))],
    include_dirs=[(FOLDER / "include").as_posix(), (FOLDER / "src").as_posix()],
    depends=[
        header.as_posix()
        for header in (*FOLDER.glob("*.h"), *FOLDER.glob("include/*.h"), *FOLDER.glob("src/*.h"))
    ],
    extra_compile_args=["-std=c11", "-O3", "-fvisibility=hidden"],
    py_limited_api=True,
)
