"""Forecasts depend on what goes in and on nothing else: their imports show it."""

import ast
from pathlib import Path

import pytest

import modelward.forecast

ROOT = Path(modelward.forecast.__file__).parent
PURE = {"bisect", "collections", "dataclasses", "datetime", "functools", "itertools", "math", "random", "statistics"}
PURE |= {"typing"}


def imported(path: Path) -> set[str]:
    """The modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_forecast_imports_nothing_that_reads_or_draws(path: Path) -> None:
    """Only the domain, itself and what is pure of the standard library; chance belongs to the back-test alone."""
    ours = ("modelward.domain.", "modelward.forecast.", "modelward.forecast")
    others = {name for name in imported(path) if not name.startswith(ours) and name.split(".")[0] not in PURE}
    assert others == set()
    if "backtest" not in path.parts:
        assert "random" not in imported(path)
        assert not any("backtest" in name for name in imported(path))
