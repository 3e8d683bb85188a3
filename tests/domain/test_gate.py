"""The gate's words: the worst decides, and each has its exit code and its meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.gate import GateReport, Passage, worst

GOOD = {Passage.FRESH, Passage.HEALTHY, Passage.RECOVERED, Passage.DOWNLOADED, Passage.UNPROVED}


def test_every_word_has_its_code() -> None:
    """0 where models may be served; the others as every verb has them."""
    assert {word.value: word.exit_code for word in Passage if word not in GOOD} == {
        "damaged": 1,
        "refused": 2,
        "lost": 3,
        "unreachable": 4,
        "blocked": 5,
    }
    assert {word.exit_code for word in GOOD} == {0}


@pytest.mark.parametrize("word", Passage)
def test_a_report_ends_with_the_code_of_its_word(word: Passage) -> None:
    """And the word is explained in one line."""
    assert GateReport(store="/s", outcome=word).exit_code == word.exit_code
    assert word.meaning
    assert "\n" not in word.meaning


@given(st.lists(st.sampled_from(Passage)), st.randoms())
def test_the_worst_does_not_depend_on_the_order(words: list[Passage], chance: "object") -> None:
    """One bad model among hundreds decides; without any, nothing is there."""
    found = worst(words)
    assert found in words or (not words and found is Passage.FRESH)
    assert found.exit_code != 0 or all(word.exit_code == 0 for word in words)
    chance.shuffle(words)  # type: ignore[attr-defined]
    assert worst(words) is found
