"""Model names: one parser, an allow-list for each segment, and the name as Ollama shows it (T1)."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.errors import BadName
from modelward.domain.name import ModelName
from tests.domain.strategies_domain import names

PLAIN = string.ascii_letters + string.digits + "_"

GOOD = {
    "model only": ("llama3", ("registry.ollama.ai", "library", "llama3", "latest")),
    "tag": ("llama3:8b", ("registry.ollama.ai", "library", "llama3", "8b")),
    "tag with dots and dashes": (
        "qwen2.5:7b-instruct-q4_K_M",
        ("registry.ollama.ai", "library", "qwen2.5", "7b-instruct-q4_K_M"),
    ),
    "namespace": ("jane/llama3", ("registry.ollama.ai", "jane", "llama3", "latest")),
    "all four": ("example.com/jane/llama3:8b", ("example.com", "jane", "llama3", "8b")),
    "port": ("localhost:5000/jane/llama3", ("localhost:5000", "jane", "llama3", "latest")),
    "port and tag": ("localhost:5000/jane/llama3:8b", ("localhost:5000", "jane", "llama3", "8b")),
    "hf.co": ("hf.co/bartowski/Llama-3.2-1B-GGUF", ("hf.co", "bartowski", "Llama-3.2-1B-GGUF", "latest")),
    "hf.co with a quant": (
        "hf.co/bartowski/Llama-3.2-1B-GGUF:Q4_K_M",
        ("hf.co", "bartowski", "Llama-3.2-1B-GGUF", "Q4_K_M"),
    ),
    "huggingface.co": ("huggingface.co/a/b", ("huggingface.co", "a", "b", "latest")),
    "cloud": ("gpt-oss:120b-cloud", ("registry.ollama.ai", "library", "gpt-oss", "120b-cloud")),
    "underscore in front": ("_x:_y", ("registry.ollama.ai", "library", "_x", "_y")),
    "digits": ("1:2", ("registry.ollama.ai", "library", "1", "2")),
    "case is kept": ("LLaMA:Q4", ("registry.ollama.ai", "library", "LLaMA", "Q4")),
    "blanks around": ("  llama3:8b\n", ("registry.ollama.ai", "library", "llama3", "8b")),
    "longest segments": (
        f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}",
        ("h" * 350, "n" * 80, "m" * 80, "t" * 80),
    ),
}

HOSTILE = {
    "empty": "",
    "blanks only": "  \t\n",
    "colon only": ":",
    "slash only": "/",
    "tag only": ":latest",
    "empty tag": "llama3:",
    "empty tag behind a host": "example.com/jane/llama3:",
    "slash in front": "/llama3",
    "slash at the end": "jane/",
    "empty namespace": "example.com//llama3",
    "empty host": "/jane/llama3",
    "three slashes": "///",
    "five segments": "a/b/c/d:e",
    "many segments": "/".join("a" * 50),
    "absolute path": "/etc/passwd",
    "traversal": "../../etc/passwd",
    "traversal in front": "../llama3",
    "dot": ".",
    "two dots": "..",
    "dot as the namespace": "./llama3",
    "two dots as the model": "jane/..",
    "two dots as the host": "../jane/llama3",
    "two dots as the tag": "llama3:..",
    "dot as the tag": "llama3:.",
    "hidden file as the tag": "llama3:.hidden",
    "hidden folder as the model": "jane/.hidden",
    "traversal in the tag": "llama3:../../x",
    "slash in the tag": "llama3:a/b",
    "backslash": "jane\\llama3",
    "backslash in the tag": "llama3:a\\b",
    "drive letter": "C:\\models\\llama3",
    "leading dash": "-rf",
    "leading dash in the tag": "llama3:-rf",
    "leading dash in the namespace": "-jane/llama3",
    "leading dash in the host": "-h/jane/llama3",
    "dot in the namespace": "ja.ne/llama3",
    "port without a host's place": "localhost:5000/llama3",
    "port without a path": "localhost:5000/llama3:8b",
    "colon in the model": "example.com/jane/lla:ma:8b",
    "two tags": "llama3:8b:latest",
    "scheme": "https://example.com/jane/llama3",
    "digest instead of a tag": "llama3@sha256:" + "0" * 64,
    "snapshot behind": "llama3@20260105",
    "NUL": "llama3\0",
    "NUL inside": "lla\0ma3",
    "NUL in the tag": "llama3:la\0test",
    "newline inside": "lla\nma3",
    "newline in the tag": "llama3:la\ntest",
    "newline before the tag": "llama3\n:latest",
    "carriage return inside": "lla\rma3",
    "escape sequence": "\x1b[31mllama3",
    "delete character": "lla\x7fma3",
    "tab inside": "lla\tma3",
    "blank inside": "lla ma3",
    "blank before the tag": "llama3 :8b",
    "percent encoding": "..%2f..%2fetc",
    "wildcard": "llama*",
    "dollar": "$HOME",
    "quote": "lla'ma3",
    "semicolon": "llama3;rm",
    "umlaut": "ll\u00e4ma",
    "cyrillic a": "ll\u0430ma3",
    "fullwidth digits": "llama\uff13",
    "arabic digit": "llama\u0663",
    "right-to-left override": "llama\u202e3",
    "zero-width joiner": "llama\u200d3",
    "two-dot leader": "\u2025/\u2025/llama3",
    "fraction slash": "jane\u2044llama3",
    "emoji": "\U0001f999",
    "lone surrogate": "llama\ud800",
    "byte that is no UTF-8": "llama\udcff",
    "model of 81 characters": "m" * 81,
    "namespace of 81 characters": f"{'n' * 81}/m",
    "tag of 81 characters": f"m:{'t' * 81}",
    "host of 351 characters": f"{'h' * 351}/n/m",
    "file name of 256 bytes": "m" * 256,
    "very long": "a" * 1_000_000,
    "very many slashes": "/" * 100_000,
    "very many colons": ":" * 100_000,
}


@pytest.mark.parametrize(("text", "parts"), GOOD.values(), ids=GOOD)
def test_names_are_read_with_ollamas_defaults(text: str, parts: tuple[str, str, str, str]) -> None:
    """Missing segments are Ollama's defaults; a colon behind the last slash starts the tag, any other is a port."""
    name = ModelName.parse(text)
    assert name.parts == parts
    assert (name.model, name.tag) == parts[2:]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_name_that_no_store_may_hold_is_refused(text: str) -> None:
    """It raises BadName with a short text and a next step, whatever it holds (T1)."""
    with pytest.raises(BadName) as caught:
        ModelName.parse(text)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
    assert caught.value.next_step


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "segment", ["", ".", "..", "../x", "a/b", "a\0", "a\n", "-a", " a", "a ", "\u00e4", "x" * 351, "a\\b"]
)
def test_segments_are_checked_one_by_one(place: int, segment: str) -> None:
    """A name made from its segments, as a store's folders give them, passes the same allow-lists (T1)."""
    parts = ["example.com", "jane", "llama3", "latest"]
    parts[place] = segment
    with pytest.raises(BadName):
        ModelName(*parts)


@given(names())
def test_the_text_leads_back_to_the_name(name: ModelName) -> None:
    """Full name, short name and segments each give the name back."""
    assert ModelName.parse(str(name)) == name
    assert ModelName.parse(name.short) == name
    assert ModelName(*name.parts) == name


@given(names())
def test_every_segment_is_safe_in_a_path(name: ModelName) -> None:
    """No segment is empty, hidden, a way up, or holds a separator, a blank or a control character (T1)."""
    for part in name.parts:
        assert part[0] in PLAIN
        assert set(part) <= set(PLAIN + "-.:")
        assert len(part) <= 350


@given(st.text(st.sampled_from("aZ0_-.:/ \n\0\u00e4"), max_size=12) | st.text(max_size=40))
def test_random_text_is_a_name_or_refused(text: str) -> None:
    """Parsing gives a name whose text leads back to it, or raises BadName, and nothing else (T1)."""
    try:
        name = ModelName.parse(text)
    except BadName:
        return
    assert ModelName.parse(str(name)) == name
    assert name.count("/") == 2


# Left: the four folders below manifests/. Right: what `ollama list` of v0.24.0 and of the newest version print.
AS_LISTED = {
    "default": ("registry.ollama.ai/library/llama3/latest", "llama3:latest"),
    "tag": ("registry.ollama.ai/library/llama3/8b-instruct-q4_0", "llama3:8b-instruct-q4_0"),
    "namespace": ("registry.ollama.ai/jane/llama3/latest", "jane/llama3:latest"),
    "hf.co": (
        "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF/Q4_K_M",
        "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
    ),
    "port": ("localhost:5000/jane/llama3/latest", "localhost:5000/jane/llama3:latest"),
    "library elsewhere": ("localhost:5000/library/llama3/latest", "localhost:5000/library/llama3:latest"),
    "other host": ("example.com/library/x/y", "example.com/library/x:y"),
    "model named like the namespace": ("registry.ollama.ai/library/library/latest", "library:latest"),
}


@pytest.mark.parametrize(("folders", "shown"), AS_LISTED.values(), ids=AS_LISTED)
def test_short_is_what_ollama_lists(folders: str, shown: str) -> None:
    """The default host and namespace are left out, nothing else; the tag always stands there."""
    assert ModelName(*folders.split("/")).short == shown


def test_short_leaves_out_the_default_host_in_any_case() -> None:
    """Ollama lists a model below ``Registry.Ollama.ai/Library`` by its own name only."""
    assert ModelName("Registry.Ollama.ai", "Library", "llama3", "latest").short == "llama3:latest"


@given(names())
def test_names_in_another_case_are_twins(name: ModelName) -> None:
    """Names that differ in case only have one twin key, and names that differ otherwise have two."""
    host, namespace, model, tag = name.parts
    assert ModelName(*[part.swapcase() for part in name.parts]).twin_key == name.twin_key
    assert ModelName(host, namespace, f"x{model[:79]}", f"y{tag[:79]}").twin_key != name.twin_key
