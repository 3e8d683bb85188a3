"""Which hosts are this machine, which are spoken to without TLS, and which through a proxy."""

import pytest

from modelward.domain.host import Reach, is_loopback, name_of, proxy_of, reach_of, speaks_plain


@pytest.mark.parametrize(
    ("authority", "name"),
    [("Example.org:5000", "example.org"), ("[::1]:80", "::1"), ("127.0.0.1", "127.0.0.1"), ("", "")],
)
def test_the_host_of_an_authority(authority: str, name: str) -> None:
    """Without port and brackets."""
    assert name_of(authority) == name


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1",
        "127.9.9.9",
        "127.1",
        "::1",
        "::ffff:127.0.0.1",
    ],
)
def test_this_machine(host: str) -> None:
    """By name and by address."""
    assert is_loopback(host)
    assert speaks_plain(f"[{host}]:5000" if ":" in host else f"{host}:5000", ())


@pytest.mark.parametrize("host", ["registry.ollama.ai", "10.0.0.1", "localhost.example.org", "127.0.0.1.org", ""])
def test_other_machines(host: str) -> None:
    """Names that only look like it are none; the settings may name them."""
    assert not is_loopback(host)
    assert not speaks_plain(f"{host}:5000", ("other:5000",))
    assert speaks_plain(f"{host}:5000", (f"{host}:5000",))


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": "one", "HTTPS_PROXY": "two"}, "one", "two"),
        ({"HTTP_PROXY": "one", "http_proxy": "small"}, "small", ""),
        ({"HTTP_PROXY": "one", "http_proxy": ""}, "one", ""),
        ({"HTTP_PROXY": "one", "NO_PROXY": "*"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "other, .Example.ORG"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "box.example.org"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "ox.example.org,org.example,,"}, "one", ""),
    ],
)
def test_a_proxy_is_the_environments(environ: dict[str, str], http: str, https: str) -> None:
    """By the server's scheme, except for hosts and domains that it spares; small letters come first."""
    assert proxy_of("http", "Box.Example.org", environ) == http
    assert proxy_of("https", "Box.Example.org", environ) == https


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1"])
def test_this_machine_needs_no_proxy(host: str) -> None:
    """A proxy has no business between two programs on one machine."""
    assert proxy_of("http", host, {"HTTP_PROXY": "one"}) == ""


@pytest.mark.parametrize(
    ("reach", "addresses"),
    [
        (Reach.INTERNET, "1.1.1.1 2606:4700::1 ::ffff:1.1.1.1 64:ff9b::101:101 2002:101:101::1"),
        (Reach.NETWORK, "10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 192.0.0.10 fc00::1 fec0::1 2002:a00:1::"),
        (
            Reach.NETWORK,
            "::ffff:10.0.0.1 ::10.0.0.1 64:ff9b::a00:1 64:ff9b:1::a00:1 2001:0:4136:e378:8000:63bf:f5ff:fffe",
        ),
        (Reach.MACHINE, "127.0.0.1 0.0.0.0 169.254.1.2 ::1 :: fe80::1%eth0 ::ffff:127.0.0.1 64:ff9b::7f00:1"),
        (Reach.NEVER, "169.254.169.254 100.100.100.200 192.0.0.192 168.63.129.16 fd00:ec2::254 224.0.0.1 240.0.0.1"),
        (Reach.NEVER, "255.255.255.255 ff02::1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe ::a9fe:a9fe 2002:a9fe:a9fe::"),
    ],
)
def test_how_far_inside_an_address_lies(reach: Reach, addresses: str) -> None:
    """By its kind, and by the address that is written inside of it; clouds' metadata services are never asked (T11)."""
    assert {address: reach_of(address) for address in addresses.split()} == dict.fromkeys(addresses.split(), reach)


def test_no_address_has_no_reach() -> None:
    """What is none is an error, not the internet."""
    with pytest.raises(ValueError, match="does not appear"):
        reach_of("registry.example")
