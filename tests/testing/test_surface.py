"""The testing kit's surface: what it exports, and what it needs."""

import ast
import sys
from pathlib import Path

import modelward.testing


def test_exports_are_sorted_and_there() -> None:
    """``__all__`` is sorted and names what can be imported."""
    names = modelward.testing.__all__
    assert names == sorted(names)
    assert [name for name in names if not hasattr(modelward.testing, name)] == []


def test_everything_public_is_exported() -> None:
    """Every public class and function of the kit's modules can be imported from the kit itself."""
    public = {
        node.name
        for module in _modules()
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }
    assert public == set(modelward.testing.__all__)


def test_needs_nothing_but_modelward_itself() -> None:
    """The kit can be used wherever Modelward is installed: no test runner, no other library."""
    needed = {name.split(".")[0] for module in _modules() for name in _imports(module)}
    assert needed - set(sys.stdlib_module_names) <= {"modelward", "blake3", "msgspec"}


def _modules() -> list[Path]:
    folder = Path(modelward.testing.__file__).parent
    return sorted(folder.glob("*.py"))


def _imports(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names
