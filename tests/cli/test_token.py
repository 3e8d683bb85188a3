"""``modelward token`` as a user runs it: made, listed, revoked, and never shown again (T17)."""

from pathlib import Path

import pytest

from tests.program import Program


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program with a state folder of its own."""
    return Program(tmp_path)


def test_a_token_is_made_listed_and_revoked(program: Program) -> None:
    """Its text is all that standard output holds, so that a script can keep it; the list has no secret."""
    made = program.run("token", "create", "laptop", "--scope", "read", "--expires", "30d")
    assert made.code == 0
    secret = made.out.strip()
    assert secret.startswith("mw_")
    assert "not shown again" in made.err
    listed = program.run("token", "list")
    assert "laptop" in listed.out
    assert "read" in listed.out
    assert secret not in listed.out
    document = program.run("token", "--json").document
    assert document["schema"] == "modelward/token/1"
    (token,) = document["tokens"]
    assert set(token) == {"id", "name", "scope", "created_at", "expires_at"}
    assert program.run("token", "revoke", token["id"]).code == 0
    assert program.run("token", "list", "--json").document["tokens"] == []


def test_json_gives_the_token_too(program: Program) -> None:
    """With --json the text stands in the document, once."""
    document = program.run("token", "create", "ci", "--json").document
    assert document["token"].startswith("mw_")
    assert document["created"]["scope"] == "operate"


@pytest.mark.parametrize(
    "words",
    [
        ("create",),
        ("revoke",),
        ("revoke", "nobody"),
        ("create", "x", "--expires", "soon"),
        ("create", "x", "--expires", "0s"),
        ("create", "x", "--scope", "root"),
        ("create", "x" * 61),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_usage_error(program: Program, words: tuple[str, ...]) -> None:
    """Exit code 2, and a message that says what to write."""
    ran = program.run("token", *words)
    assert ran.code == 2
    assert ran.err


def test_without_tokens_the_list_says_what_that_means(program: Program) -> None:
    """An empty list tells who may do what."""
    assert "everybody on this machine" in program.run("token").out
