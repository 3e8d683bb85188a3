"""What must hold of the repository itself: rules that neither the linter nor the type checker sees."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import coverage_floor

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "modelward"

# Methods of pathlib.Path that create, rename or remove, whatever their arguments are.
CHANGING_METHODS = frozenset(
    {
        "hardlink_to",
        "mkdir",
        "rename",
        "rmdir",
        "symlink_to",
        "touch",
        "unlink",
        "write_bytes",
        "write_text",
    }
)
# Functions of os that do.
CHANGING_OS = frozenset(
    {
        "link",
        "makedirs",
        "mkdir",
        "mkfifo",
        "mknod",
        "remove",
        "removedirs",
        "rename",
        "renames",
        "replace",
        "rmdir",
        "symlink",
        "unlink",
    }
)
CHANGING_MODULES = frozenset({"shutil", "tempfile"})
CREATING_FLAGS = frozenset({"O_CREAT", "O_TMPFILE", "O_TRUNC"})
WRITING_MODE = re.compile(r"(?=[a-z+]*[wax+])[rwaxbt+]{1,4}")

Check = Callable[[ast.AST], bool]


def _modules(*exempt: str) -> list[Path]:
    """Our modules, without those at or below the exempt paths (relative to the package)."""
    closed = [PACKAGE / name for name in exempt]
    found = [path for path in PACKAGE.rglob("*.py") if not any(path.is_relative_to(each) for each in closed)]
    assert found, "no module found: the test looks in the wrong place"
    return sorted(found)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _where(paths: list[Path], check: Check) -> list[str]:
    """``file:line`` of every node that the check objects to."""
    return [
        f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
        for path in paths
        for node in ast.walk(_tree(path))
        if check(node)
    ]


def _changes_files(node: ast.AST) -> bool:
    """Whether the node creates, renames or removes a file, or fetches a name that does."""
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr=name):
            return name in CHANGING_OS | CREATING_FLAGS
        case ast.Import() | ast.ImportFrom():
            return _imports_changes(node)
        case ast.Call():
            return _calls_changes(node)
    return False


def _imports_changes(node: ast.Import | ast.ImportFrom) -> bool:
    names = {alias.name for alias in node.names}
    if isinstance(node, ast.Import):
        return bool(names & CHANGING_MODULES)
    return node.module in CHANGING_MODULES or (node.module == "os" and bool(names & (CHANGING_OS | CREATING_FLAGS)))


def _calls_changes(call: ast.Call) -> bool:
    match call:
        case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
            return True  # Path.replace(target); str.replace takes two arguments, the others keywords
        case (
            ast.Call(func=ast.Name(id="open"), args=[_, *modes])
            | ast.Call(func=ast.Attribute(attr="open"), args=[*modes])
        ):
            modes += [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
            return any(_writes(mode) for mode in modes)
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in CHANGING_METHODS
    return False


def _writes(mode: ast.expr) -> bool:
    """Whether this argument of ``open`` is a text that stands for a mode that writes."""
    return (
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and WRITING_MODE.fullmatch(mode.value) is not None
    )


def _is_async(node: ast.AST) -> bool:
    return isinstance(node, ast.AsyncFunctionDef)


def _prints(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


def _test_functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


def test_requirements_hold_no_address() -> None:
    """The locked requirements name packages and hashes, never the place that they came from."""
    files = sorted((ROOT / "requirements").iterdir())
    assert {"dev.in", "dev.txt", "run.in", "run.txt"} <= {path.name for path in files}
    assert [path.name for path in files if re.search(r"https?://", path.read_text(encoding="utf-8"))] == []


def test_every_locked_package_has_hashes() -> None:
    """A locked package without a hash would be installed unproved."""
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
        pinned = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert pinned
        assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []


def test_run_requirements_are_those_of_the_package() -> None:
    """The list that is locked and the list that the package declares are one list."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["dependencies"]
    lines = (ROOT / "requirements" / "run.in").read_text(encoding="utf-8").splitlines()
    assert sorted(line for line in lines if line and not line.startswith("#")) == sorted(declared)


def test_what_has_to_be_covered_whole_is_there() -> None:
    """Every line of the list names a file, so that a module that moves does not leave the floor unseen."""
    named = {path.relative_to(ROOT / "src" / "modelward").as_posix() for path in coverage_floor.whole()}
    assert {"durable.py", "vault/writer.py", "services/repair.py", "domain/plan.py", "api/access.py"} <= named


def test_every_module_says_what_it_is_for() -> None:
    """Every module opens with a docstring."""
    assert [str(path.relative_to(ROOT)) for path in _modules() if not ast.get_docstring(_tree(path))] == []


def test_every_test_states_its_behaviour() -> None:
    """Every test function has a docstring."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    named = [(path, test) for path in files for test in _test_functions(_tree(path))]
    assert named
    silent = [f"{path.relative_to(ROOT)}: {test.name}" for path, test in named if not ast.get_docstring(test)]
    assert silent == []


def test_only_durable_changes_files() -> None:
    """W1: only ``durable.py`` creates, renames or removes files (``testing/`` damages them on purpose)."""
    assert _where(_modules("durable.py", "testing"), _changes_files) == []


def test_functions_have_one_colour() -> None:
    """Only the HTTP layer is asynchronous; everything else is plain code in threads."""
    assert _where(_modules("api", "web"), _is_async) == []


def test_only_the_command_line_prints() -> None:
    """What is not the command line tells its caller, or a log, and never the screen."""
    assert _where(_modules("cli"), _prints) == []


@pytest.mark.parametrize(
    "code",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, 'r+b')",
        "path.open('x')",
        "path.write_bytes(b'')",
        "path.write_text('')",
        "path.unlink()",
        "path.rename(target)",
        "path.replace(target)",
        "path.mkdir(parents=True)",
        "path.rmdir()",
        "path.touch()",
        "os.open(name, os.O_WRONLY | os.O_CREAT)",
        "os.link(a, b)",
        "os.rename(a, b)",
        "os.replace(a, b)",
        "os.unlink(a)",
        "os.mkdir(a)",
        "os.rmdir(a)",
        "from os import rename",
        "import shutil",
        "from tempfile import mkdtemp",
    ],
)
def test_a_change_of_files_is_seen(code: str) -> None:
    """The check behind W1 objects to each way of changing a file."""
    assert any(_changes_files(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open(encoding='utf-8')",
        "Folder.open(path, create=True)",
        "store.open_blob(blob)",
        "os.open(name, os.O_RDONLY)",
        "text.replace('a', 'b')",
        "moment.replace(tzinfo=UTC)",
        "structs.replace(value, size=1)",
        "path.read_bytes()",
    ],
)
def test_reading_is_no_change_of_files(code: str) -> None:
    """The check behind W1 lets pass what only reads, or replaces a value."""
    assert not any(_changes_files(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize(("code", "check"), [("async def f(): ...", _is_async), ("print(1)", _prints)])
def test_async_and_print_are_seen(code: str, check: Check) -> None:
    """The checks for colour and printing object to what they are for."""
    assert any(check(node) for node in ast.walk(ast.parse(code)))
