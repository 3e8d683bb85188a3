"""OLLAMA_HOST in all the forms that Ollama accepts."""

from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
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


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ollama.com", "https://ollama.com:443"),
        (' "ollama.com" ', "https://ollama.com:443"),
        ("ftp://example.com", "http://example.com:11434"),
        ("HTTPS://example.com", "https://example.com:11434"),
        ("[0:0:0:0:0:0:0:0]:9", "http://[::1]:9"),
        ("0::0", "http://[::1]:11434"),
        ("::ffff:0.0.0.0", "http://127.0.0.1:11434"),
        ("2001:DB8:0::1", "http://[2001:db8::1]:11434"),
        ("example.com:٣", "http://example.com:11434"),
        ("example.com:000080", "http://example.com:80"),
    ],
)
def test_the_rare_forms_of_ollama(text: str, url: str) -> None:
    """As envconfig.ConnectableHost of v0.24.0 answers them; a scheme that no client speaks counts as http."""
    assert parse_host(text).url == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("ollama.com:80", "http://ollama.com:80"),
        ("http://ollama.com", "http://ollama.com:80"),
        ("https://0.0.0.0:4321", "https://127.0.0.1:4321"),
        ("http://[::]", "http://[::1]:80"),
        (":0", "http://127.0.0.1:0"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:11434"),
    ],
)
def test_near_the_rare_forms(text: str, url: str) -> None:
    """What looks like a special form and is none."""
    assert parse_host(text).url == url


@given(st.ip_addresses(v=6), st.integers(0, 65535))
@example(IPv6Address("::"), 80)
@example(IPv6Address("::ffff:1.2.3.4"), 80)
def test_ipv6_is_the_same_with_brackets_and_without(address: IPv6Address, port: int) -> None:
    """Bare, bracketed, long or with a port: one host, and a client never calls the address of everywhere."""
    host = parse_host(str(address)).host
    forms = (f"[{address}]", f"[{address}]:{port}", address.exploded, f"http://[{address}]:{port}")
    assert {parse_host(form).host for form in forms} == {host}
    assert host not in ("::", "0.0.0.0")  # noqa: S104 - what must not come out
