"""Write docs/forecasts.md from the recorded back-test; with ``record``, record it anew first.

``python -m scripts.forecasts record`` needs the extra ml and some minutes; ``make docs`` writes the page alone.
"""

import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from modelward.bootstrap import half_space_trees
from modelward.domain.codec import pretty
from modelward.domain.forecast import Score
from modelward.forecast.backtest.trees import ours_backtest, trees_backtest
from modelward.forecast.record import BASE_RATES, HIT_RATES
from modelward.forecast.trees import HABITS
from modelward.learned.record import FILE, Record, record
from modelward.learned.trees import MEMORY, SECONDS
from scripts.reference import table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "forecasts.md"
RECORD = ROOT / "src" / "modelward" / "learned" / FILE
SEEDS, MONTHS = (1, 2, 3, 4), 6

HEAD = """# Forecasts

Made from the program by `make docs`; a test fails when the two differ. `modelward forecast` shows what the history of a
host lets one expect: each with how often the thing happens anyway, how often such an alarm was right, and a cheap
command to act with. Below 30 samples it says "not enough data" and nothing else. `GET /api/v1/forecast` answers the
same.

"""
TREES = """## Half-space trees, judged

The extra `ml` (`pip install 'modelward[ml]'`) brings a detector that learns: half-space trees, an online detector of
odd points, from the library river. It takes a second and 110 MB to load, so it runs in a process of its own with a
deadline of {seconds:.0f} s and at most {memory} MiB of its own data, and never in the guard. `forecast_trees` switches
it: `off` (the default), `on`, or `auto`: only for the kinds in which the recorded back-test says that it wins. It wins
where it is no worse than our own detector in precision, recall and lead, and better in one of them.

`modelward forecast backtest --trees` judges it on the very histories of our own detectors, asked at the same moments.
It is shown what our own detectors work with: how far a value, and its moving average, lie above what was usual. Its
thresholds were chosen on the seeds 11 and 12. Recorded with {library}, on the seeds {seeds}, {months} months each:

"""


def main(words: Sequence[str]) -> None:
    """Record where that is wished, and write the page."""
    if "record" in words:
        RECORD.write_text(pretty(recorded()) + "\n", encoding="utf-8")
        record.cache_clear()
    PAGE.write_text(page(), encoding="utf-8")


def recorded() -> Record:
    """Both ways over the same histories."""
    trees = half_space_trees()
    return Record(
        seeds=SEEDS,
        months=MONTHS,
        library=f"river {version('river')}",
        ours=ours_backtest(SEEDS, MONTHS),
        trees=trees_backtest(trees, SEEDS, MONTHS),
    )


def page() -> str:
    """The whole page."""
    kept = record()
    head = TREES.format(
        seconds=SECONDS,
        memory=MEMORY >> 20,
        library=kept.library,
        seeds=", ".join(str(seed) for seed in kept.seeds),
        months=kept.months,
    )
    rows = [
        row
        for ours, trees in zip(kept.ours, kept.trees, strict=True)
        for row in (_row("our own", ours), _row("half-space trees", trees))
    ]
    names = ("forecast", "detector", "events", "alarms", "precision", "recall", "lead", "false alarms a month")
    return HEAD + _kinds() + head + table(names, rows) + _verdict(kept)


def _kinds() -> str:
    rows = [
        (kind.value, "" if rate is None else f"{rate:.0%}", BASE_RATES[kind].text, BASE_RATES[kind].source)
        for kind, rate in HIT_RATES.items()
    ]
    return table(("forecast", "alarms that were right", "how often it happens anyway", "source"), rows) + (
        "\nThe second column is of generated histories whose truth is known, which are kinder than real ones.\n\n"
    )


def _row(name: str, score: Score) -> tuple[str, ...]:
    return (
        score.kind.value,
        name,
        f"{score.events:,}",
        f"{score.alarms:,}",
        _percent(score.precision),
        _percent(score.recall),
        "" if score.lead is None else f"{score.lead:,.1f} h",
        f"{score.false_a_month:.3f}",
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _verdict(kept: Record) -> str:
    won = [kind.value for kind in HABITS if kind in kept.won]
    lost = [kind.value for kind in HABITS if kind not in kept.won]
    says = f"It wins for: {', '.join(won)}. " if won else "It wins nowhere, and so `auto` is the same as `off`. "
    if lost and won:
        says += f"It does not win for: {', '.join(lost)}, and there `auto` leaves it off. "
    often = "; ".join(
        f"{ours.kind.value} {ours.alarms / ours.events:.2f} (our own) and {trees.alarms / trees.events:.2f} (trees)"
        for ours, trees in zip(kept.ours, kept.trees, strict=True)
    )
    text = (
        "Lead is the median time from the alarm to the harm, negative where the alarm came after it. "
        f"{says}It is off by default: these histories are kinder than real ones, and who is told of one trouble again "
        f"and again stops to listen. Alarms for each event: {often}."
    )
    return "\n" + textwrap.fill(text, 120) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
