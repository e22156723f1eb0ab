"""The seam between Python and the core: names, codes, what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

from native._native import lib
from native.errors import ErrorCode

ROOT = Path(__file__).parents[2]


def test_stub_names_equal_the_extensions() -> None:
    tree = ast.parse((ROOT / "native/_native.pyi").read_text(encoding="utf-8"))
    (stub,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Lib"]

    names = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    names |= {ast.unparse(node.target) for node in stub.body if isinstance(node, ast.AnnAssign)}

    assert names == set(dir(lib))


def test_error_codes_equal_the_cores() -> None:
    prefix = "FS_ERR_"

    core = {name: getattr(lib, name) for name in dir(lib) if name.startswith(prefix)}

    assert core == {prefix + code.name: code.value for code in ErrorCode}
    assert all(code.sentence for code in ErrorCode)


def test_importing_the_codecs_does_not_import_cffi() -> None:
    codecs = "native.geometry, native.decoder, native.encoder, native.delta"
    program = f"import sys, {codecs}; sys.exit('cffi' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)

    assert done.returncode == 0
