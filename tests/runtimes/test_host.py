"""OLLAMA_HOST in all the forms that Ollama accepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.runtimes.host import Endpoint, parse_host


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":5678", "http://127.0.0.1:5678"),
        ("1.2.3.4:5678", "http://1.2.3.4:5678"),
        ("ollama", "http://ollama:11434"),
        ("ollama:80", "http://ollama:80"),
        ("0.0.0.0", "http://127.0.0.1:11434"),  # noqa: S104 - what users write
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        ("[::]", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("::1", "http://[::1]:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://example.com:5000", "https://example.com:5000"),
        ("example.com:66000", "http://example.com:11434"),
        ("example.com:-1", "http://example.com:11434"),
        ("example.com:abc", "http://example.com:11434"),
        ("example.com/", "http://example.com:11434"),
        ("example.com:1234/", "http://example.com:1234"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("https://example.com/a/b/", "https://example.com:443/a/b"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        ("' 1.2.3.4:5 '", "http://1.2.3.4:5"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
    ],
)
def test_the_forms_of_ollama(text: str, url: str) -> None:
    """Missing parts get Ollama's defaults; listening everywhere is found on loopback."""
    assert parse_host(text).url == url


@given(
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z][a-z0-9.-]{0,20}", fullmatch=True),
    st.integers(0, 65535),
    st.from_regex(r"(/[a-z0-9]{1,8}){0,2}", fullmatch=True),
)
def test_an_address_survives_text_and_back(scheme: str, host: str, port: int, path: str) -> None:
    """parse_host(endpoint.url) is the endpoint."""
    endpoint = Endpoint(scheme=scheme, host=host, port=port, path=path)
    assert parse_host(endpoint.url) == endpoint


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    """Whatever stands there, there is an address with a port in range."""
    assert 0 <= parse_host(text).port <= 65535
