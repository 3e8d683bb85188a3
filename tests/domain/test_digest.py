"""Digests: one form, and nothing else gets in (T1)."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelward.domain.digest import Digest
from modelward.domain.errors import BadDigest
from tests.domain.strategies_domain import HEX, digests

GOOD = "0123456789abcdef" * 4

HOSTILE = {
    "empty": "",
    "prefix only": "sha256:",
    "no prefix": GOOD,
    "dash of the file's name": f"sha256-{GOOD}",
    "upper-case hex": f"sha256:{GOOD.upper()}",
    "one upper-case digit": f"sha256:{GOOD[:-1]}F",
    "upper-case prefix": f"SHA256:{GOOD}",
    "sha512": f"sha512:{GOOD * 2}",
    "sha512 of our length": f"sha512:{GOOD}",
    "md5": f"md5:{GOOD[:32]}",
    "63 digits": f"sha256:{GOOD[:-1]}",
    "65 digits": f"sha256:{GOOD}0",
    "a letter behind f": f"sha256:{GOOD[:-1]}g",
    "traversal": "sha256:../../etc/passwd",
    "traversal of the right length": f"sha256:{'../' * 21}x",
    "dots of the right length": f"sha256:{'.' * 64}",
    "slash at the end": f"sha256:{GOOD}/",
    "slash inside": f"sha256:{GOOD[:31]}/{GOOD[32:]}",
    "backslash inside": f"sha256:{GOOD[:31]}\\{GOOD[32:]}",
    "newline at the end": f"sha256:{GOOD}\n",
    "newline in front": f"\nsha256:{GOOD}",
    "newline as the last digit": f"sha256:{GOOD[:-1]}\n",
    "carriage return at the end": f"sha256:{GOOD}\r",
    "blank at the end": f"sha256:{GOOD} ",
    "blank in front": f" sha256:{GOOD}",
    "blank behind the colon": f"sha256: {GOOD[1:]}",
    "NUL at the end": f"sha256:{GOOD}\0",
    "NUL inside": f"sha256:{GOOD[:31]}\0{GOOD[32:]}",
    "fullwidth digits": f"sha256:{GOOD[:-1]}\uff11",
    "arabic digits": "sha256:" + "\u0661" * 64,
    "cyrillic a": f"sha256:{GOOD.replace('a', chr(0x430))}",
    "fullwidth colon": f"sha256\uff1a{GOOD}",
    "lone surrogate": f"sha256:{GOOD[:-1]}\ud800",
    "two prefixes": f"sha256:sha256:{GOOD}",
    "0x": f"sha256:0x{GOOD[2:]}",
    "underscores as in numbers": f"sha256:{GOOD[:31]}_{GOOD[32:]}",
    "tag behind": f"sha256:{GOOD}:latest",
    "partial download": f"sha256:{GOOD}-partial",
    "very long": f"sha256:{'0' * 1_000_000}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_other_form_is_refused(text: str) -> None:
    """What is not exactly the one form raises BadDigest with a short text and a next step (T1)."""
    with pytest.raises(BadDigest) as caught:
        Digest.parse(text)
    assert len(str(caught.value)) < 1000
    assert caught.value.next_step


@pytest.mark.parametrize("text", [text for text in HOSTILE.values() if text.startswith("sha256:")])
def test_what_is_made_from_digits_is_checked_as_well(text: str) -> None:
    """There is no way to make a digest that skips the check (T1)."""
    with pytest.raises(BadDigest):
        Digest(text.removeprefix("sha256:"))


@given(st.text() | st.text(HEX, min_size=60, max_size=68).map("sha256:".__add__))
@example(f"sha256:{GOOD}")
def test_random_text_is_a_digest_only_in_the_one_form(text: str) -> None:
    """Parsing gives back the very same text or raises BadDigest, and nothing else (T1)."""
    good = len(text) == 71 and text.startswith("sha256:") and set(text[7:]) <= set(HEX)
    try:
        parsed = Digest.parse(text)
    except BadDigest:
        assert not good
    else:
        assert good
        assert parsed == text


@given(digests())
def test_text_digits_and_bytes_lead_back(digest: Digest) -> None:
    """The text, the hex digits and the raw bytes each give the digest back."""
    assert Digest.parse(str(digest)) == digest
    assert Digest(digest.hex) == digest
    assert Digest(digest.raw.hex()) == digest
    assert len(digest.raw) == 32


@given(digests())
def test_a_digest_is_safe_as_a_file_name(digest: Digest) -> None:
    """The hex digits hold nothing that a path could stumble over (T1)."""
    assert set(digest.hex) <= set(string.hexdigits.lower())
    assert len(digest.hex) == 64


def test_short_is_what_ollama_shows_as_an_id() -> None:
    """The first twelve hex digits."""
    assert Digest(GOOD).short == "0123456789ab"


@given(digests(), digests())
def test_digests_compare_as_their_text(one: Digest, other: Digest) -> None:
    """Order, equality and hash are those of the text, so that dictionaries and sorting need no more."""
    assert (one < other) == (str(one) < str(other))
    assert (one == other) == (one.raw == other.raw)
    assert {one: 1}[Digest(one.hex)] == 1
