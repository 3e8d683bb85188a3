"""The page of forecasts agrees with the recorded back-test."""

from modelward.forecast.trees import HABITS
from modelward.learned.record import record
from scripts import forecasts


def test_the_page_is_what_the_record_says() -> None:
    """docs/forecasts.md is, byte for byte, what `make docs` writes now; no figure of it is typed by hand."""
    assert forecasts.PAGE.read_text(encoding="utf-8") == forecasts.page(), "docs/forecasts.md is old: run make docs"


def test_the_verdict_follows_from_the_figures() -> None:
    """Kinds that won are named as won, and no other."""
    page, won = forecasts.page(), record().won
    said = page.partition("It wins for: ")[2].partition(".")[0]
    assert {kind for kind in HABITS if kind.value in said} == won
    assert ("It wins nowhere" in page) is (not won)
