"""Verdicts: two axes of health, and the exit code that follows from them."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain import finding as f
from modelward.domain.name import ModelName
from modelward.domain.verdict import Report, Verdict, exit_code, health
from tests.domain.strategies_domain import digest

LLAMA = ModelName.parse("llama3")
MISSING = f.Missing(blob=digest(1), size=10, path="blobs/x")
CHANGED = f.Changed(blob=digest(1), size=10, path="blobs/x")
TWIN = f.CaseTwin(path="manifests/x", models=(LLAMA,))
EMPTY = f.StoreEmpty(path="/models", known=1)

AXES = tuple(itertools.product((True, False, None), (True, False)))
VERDICTS = st.sampled_from(AXES).map(lambda axes: verdict(healthy=axes[0], recoverable=axes[1]))


def verdict(*, healthy: bool | None, recoverable: bool) -> Verdict:
    """A verdict on these two axes."""
    return Verdict(name=LLAMA, healthy=healthy, recoverable=recoverable, size=10, verified_at=None)


def report(*models: Verdict, findings: tuple[f.Finding, ...] = ()) -> Report:
    """A report on these models."""
    return Report(
        path="/models",
        of="store",
        level="full",
        read="direct",
        models=models,
        findings=findings,
        bytes_read=0,
        unread=0,
        seconds=0.0,
    )


@pytest.mark.parametrize(
    ("findings", "proved", "expected"),
    [
        ((), True, True),
        ((), False, None),
        ((MISSING,), True, False),
        ((MISSING,), False, False),
        ((CHANGED,), True, True),
        ((CHANGED,), False, None),
        ((TWIN,), True, True),
        ((TWIN, MISSING), True, False),
        ((CHANGED, TWIN), False, None),
    ],
)
def test_health_is_no_with_damage_yes_with_proof_else_unknown(
    findings: tuple[f.Finding, ...], *, expected: bool | None, proved: bool
) -> None:
    """What is not damage, as a file that changed while it was read, neither condemns a model nor proves it."""
    assert health(findings, proved=proved) is expected


@pytest.mark.parametrize(
    ("healthy", "recoverable", "code"),
    [(True, True, 0), (True, False, 0), (None, True, 0), (None, False, 0), (False, True, 1), (False, False, 3)],
)
def test_the_exit_code_of_one_model(code: int, *, healthy: bool | None, recoverable: bool) -> None:
    """Only damage counts: 1 when a source can heal it, 3 when none can."""
    assert exit_code([verdict(healthy=healthy, recoverable=recoverable)]) == code


def test_no_models_are_no_damage() -> None:
    """An empty store has nothing wrong with its models."""
    assert exit_code([]) == 0


@given(st.lists(VERDICTS, max_size=6), st.randoms(use_true_random=False))
def test_the_worst_model_decides(models: list[Verdict], shuffler: random.Random) -> None:
    """In any order, 3 stands above 1 above 0."""
    each = [exit_code([model]) for model in models]
    shuffler.shuffle(models)
    assert exit_code(models) == max(each, default=0)
    assert report(*models).exit_code == max(each, default=0)


@given(st.lists(VERDICTS, max_size=6))
def test_damaged_are_those_that_are_known_to_be(models: list[Verdict]) -> None:
    """A model that was never proved is not called damaged."""
    assert report(*models).damaged == tuple(model for model in models if model.healthy is False)


@pytest.mark.parametrize(
    "finding",
    [
        EMPTY,
        f.StoreMoved(path="/models", reason="x"),
        f.StoreUnmounted(path="/models", mount_point="/", mount_source="/dev/sda"),
        f.WrongStore(path="/models", server="s", reason="x"),
    ],
    ids=lambda finding: type(finding).__name__,
)
def test_a_store_that_is_not_the_right_one_is_damage(finding: f.Finding) -> None:
    """Though no model is damaged, the exit code is 1 (I1); unrecoverable damage still stands above it."""
    assert report(findings=(finding,)).exit_code == 1
    assert report(verdict(healthy=True, recoverable=True), findings=(finding,)).exit_code == 1
    assert report(verdict(healthy=False, recoverable=False), findings=(finding,)).exit_code == 3


@pytest.mark.parametrize(
    "finding",
    [f.Orphan(blob=digest(1), size=1, path="x"), f.Partial(path="x", bytes=1), f.BadEntry(path="x", reason="y"), TWIN],
    ids=lambda finding: type(finding).__name__,
)
def test_what_lies_about_is_no_damage(finding: f.Finding) -> None:
    """Orphans, leftovers and odd entries are told, and change no exit code."""
    assert report(findings=(finding,)).exit_code == 0
