"""The campaign itself: a case can be done again by its line, shares add up, and the page is what the figures say."""

import json
import mmap
import os
import time
from pathlib import Path

import pytest

from tests.campaign import report
from tests.campaign.meter import Every, Sample, growth, look
from tests.campaign.plan import PARTS, ROOT, Run, budget


def test_every_part_is_a_file() -> None:
    """And no file of tests is left out."""
    here = Path(__file__).parent
    assert {f"test_{part.name}.py" for part in PARTS} | {Path(__file__).name} == {
        p.name for p in here.glob("test_*.py")
    }


def test_shares_make_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that runs alone has all of it."""
    monkeypatch.delenv("MODELWARD_CAMPAIGN_PART", raising=False)
    monkeypatch.setenv("MODELWARD_CAMPAIGN_BUDGET", "1000")
    assert sum(part.share for part in PARTS) == pytest.approx(1)
    assert sum(budget(part.name) for part in PARTS) == pytest.approx(1000)
    monkeypatch.setenv("MODELWARD_CAMPAIGN_PART", "rot")
    assert budget("rot") == 1000


def test_a_failure_says_how_to_see_it_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The line names part, seed and case, and that case draws the same again."""
    run = Run("rot", "test_random_damage", "77", cases=10)
    drawn = []
    with pytest.raises(ZeroDivisionError) as caught:  # noqa: PT012 - the third case fails, not the loop
        for number in run.numbers():
            with run.case(number) as rng:
                drawn.append(rng.random())
                assert number < 3 or 1 / 0
    line = "make campaign PART=rot SEED=77:3 BUDGET=60 ARGS='-k test_random_damage'"
    assert line in capsys.readouterr().out
    assert any(line in note for note in caught.value.__notes__)
    again = Run("rot", "test_random_damage", "77:3", cases=1)
    with again.case(next(again.numbers())) as rng:
        assert rng.random() == drawn[-1]


def test_runs_of_one_test_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts add up, of what is slowest the largest counts, and no failure is lost."""
    monkeypatch.setenv("MODELWARD_CAMPAIGN_OUT", str(tmp_path))
    for seed, slowest in (("1", 40), ("2", 30)):
        run = Run("rot", "test_x", seed, cases=1)
        with run.case(0):
            run.figures["slowest, ms"] = slowest
        run.failed += ["once"] if seed == "1" else []
        run.write()
    (line,) = report.added_up(report.read(tmp_path))
    assert line["figures"] == {"cases": 2, "slowest, ms": 40}
    assert (line["seeds"], line["failed"]) == (["1", "2"], ["once"])


def test_the_page_is_what_the_figures_say() -> None:
    """docs/reliability.md is, byte for byte, what the figures and the list of bugs make now."""
    assert report.PAGE.read_text(encoding="utf-8") == report.page(), "run: python -m tests.campaign.report"


def test_the_chart_is_what_the_soak_measured() -> None:
    """docs/soak.svg is, byte for byte, what the points of the last soak make now; each fault of it has a mark."""
    text, kept = report.PICTURE.read_text(encoding="utf-8"), json.loads(report.SOAK.read_text())
    assert text == report.picture(), "run: python -m tests.campaign.report"
    assert text.count("<circle ") == len(kept["faults"])
    assert report.PICTURE.name in report.page()


def test_growth_is_seen() -> None:
    """What grows steadily shows, what only warms up or peaks does not."""
    flat = [Sample(float(at), 40000 + 900 * (at % 7), 20000, 20, 9, 100, at) for at in range(0, 3600, 10)]
    warming = [sample._replace(resident=min(sample.resident, 20000 + int(sample.at) * 40)) for sample in flat]
    leaking = [sample._replace(resident=sample.resident + int(sample.at)) for sample in flat]
    peak = [sample._replace(resident=sample.resident * (3 if 1800 < sample.at < 2000 else 1)) for sample in flat]
    assert [round(growth(samples, "resident").ratio, 2) for samples in (flat, warming, peak)] == [1, 1, 1]
    assert growth(leaking, "resident").ratio > 1.05


def test_a_look_at_a_process_is_the_kernels(tmp_path: Path) -> None:
    """An open file more is one descriptor more, and 8 MiB that are touched are 8 MiB."""
    before = look(os.getpid(), tmp_path, 0)
    with (tmp_path / "journal.db").open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        with mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:  # not the heap
            held.write(bytes(8 << 20))
            after = look(os.getpid(), tmp_path, 1)
    assert after.descriptors == before.descriptors + 1
    assert 7 << 10 <= after.anonymous - before.anonymous <= 24 << 10
    assert (before.journal, after.journal) == (0, 4)


def test_what_a_thread_of_a_soak_raises_is_raised() -> None:
    """A page that does not answer fails the soak, though a thread has asked for it."""

    def deed() -> None:
        raise AssertionError("no answer")

    with pytest.raises(AssertionError, match="no answer"), Every(0.001, deed):
        time.sleep(0.1)


def test_every_bug_names_a_test_that_is_there() -> None:
    """Each bug of the page is kept away by a test in the repository."""
    import tomllib

    for bug in tomllib.loads(report.BUGS.read_text())["bug"]:
        file, _, name = bug["test"].partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), bug


def test_figures_are_those_of_the_parts() -> None:
    """No figure of a test that is not there any more."""
    for line in json.loads(report.FIGURES.read_text()).values():
        path = Path(__file__).with_name(f"test_{line['part']}.py")
        assert f"def {line['test']}(" in path.read_text()
