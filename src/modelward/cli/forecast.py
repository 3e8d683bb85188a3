"""``modelward forecast``: what is going to happen, how sure that is, and how good such forecasts were."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from modelward.cli.options import ConfigFile, Json, StorePath, VaultPath, workplace

if TYPE_CHECKING:
    from modelward.domain.forecast import BacktestReport

NAME = "forecast"


class Action(StrEnum):
    """What to do."""

    SHOW = "show"
    BACKTEST = "backtest"


def command(
    action: Annotated[Action, typer.Argument(metavar="[show|backtest]", help="What to do.")] = Action.SHOW,
    *,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="backtest: other histories; the same number, the same ones.")
    ] = 1,
    months: Annotated[
        int, typer.Option("--months", metavar="N", min=2, max=60, help="backtest: how long each history is.")
    ] = 6,
    trees: Annotated[
        bool, typer.Option("--trees", help="backtest: half-space trees as well, on the same histories (extra ml).")
    ] = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Show when disks are full, which models get slow or fail, which devices rot or slow down, which jobs run late.

    Each forecast shows how often the thing happens anyway, how often such an alarm was right, and a cheap command to
    act with; with fewer than 30 samples it says so and nothing else. `backtest` runs every forecast over generated
    histories whose truth is known, and prints how it did; it takes half a minute.
    """
    from modelward.cli.text_forecast import show_backtest, show_forecasts

    if action is Action.BACKTEST:
        show_backtest(_backtest(seed, months, trees=trees), json=json)
        return 0
    from modelward.bootstrap import journal_beside
    from modelward.services.forecast import forecasts

    with workplace({"store": store, "vault": vault, "config": config}, json=json, storeless=True) as place:
        known = place.known_to_forecasts()
        with journal_beside(place.settings, write=False) as journal:
            report = forecasts(journal, place.site.clock.now(), known)
    show_forecasts(report, json=json)
    return 0


def _backtest(seed: int, months: int, *, trees: bool) -> "BacktestReport":
    from msgspec.structs import replace

    from modelward.forecast.backtest.run import backtest

    if not trees:
        return backtest(seed, months)
    from modelward.bootstrap import half_space_trees
    from modelward.forecast.backtest.trees import trees_backtest

    learned = half_space_trees()  # an extra that is missing is said before the half minute
    return replace(backtest(seed, months), trees=trees_backtest(learned, (seed,), months))
