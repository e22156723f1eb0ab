"""Which host a URL belongs to."""

import pytest

from engine.service.hosts import (
    host_name,
    is_arcgis_online,
    is_private,
    is_same_host,
    server_context,
)

GIS = "https://gis.example.org"


@pytest.mark.parametrize(
    ("url", "context"),
    [
        (f"{GIS}/arcgis/rest/services/Trees/FeatureServer/0?f=json", f"{GIS}/arcgis"),
        (f"{GIS}/arcgis/rest/services/rest/Trees/FeatureServer", f"{GIS}/arcgis"),
        (f"{GIS}/a/b/rest/info", f"{GIS}/a/b"),
        (f"{GIS}/portal/sharing/rest/content/items/1", f"{GIS}/portal"),
        (f"{GIS}/portal/home/index.html", f"{GIS}/portal"),
        (f"{GIS}/arcgis/tokens/generateToken", f"{GIS}/arcgis"),
        (f"{GIS}:6443/arcgis/", f"{GIS}:6443/arcgis"),
        (f"{GIS}/", GIS),
        (GIS, GIS),
    ],
)
def test_the_context_is_what_lies_above_the_rest_resources(url: str, context: str) -> None:
    assert server_context(url) == context


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (GIS, "https://GIS.example.org./x", True),
        (GIS, "http://gis.example.org", True),
        (GIS, f"{GIS}:443", True),
        (GIS, f"{GIS}:6443", False),
        (f"{GIS}:6443", "http://gis.example.org:6443", True),
        (GIS, "https://gis.example.org.evil.net", False),
        (GIS, "https://evil.net/gis.example.org", False),
        (GIS, "https://gis.example.org@evil.net", False),
        (GIS, "https://evilgis.example.org", False),
        (GIS, "", False),
        ("", "", False),
        (GIS, "https://[::1", False),
        (GIS, f"{GIS}:99999", False),
    ],
)
def test_a_host_is_the_same_by_name_and_port(one: str, other: str, same: bool) -> None:
    assert is_same_host(one, other) is same
    assert is_same_host(other, one) is same


@pytest.mark.parametrize(
    ("url", "private"),
    [
        (GIS, True),
        ("http://gis.example.org", False),
        ("http://127.0.0.1:9000/arcgis", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:80/", True),
        ("http://localhost", True),
        ("http://localhost.evil.net", False),
        ("http://127.0.0.1.evil.net", False),
        ("http://127.0.0.1@evil.net", False),
        ("ftp://gis.example.org", False),
        ("", False),
    ],
)
def test_only_https_and_this_machine_are_private(url: str, private: bool) -> None:
    assert is_private(url) is private


@pytest.mark.parametrize(
    ("url", "online"),
    [
        ("https://www.arcgis.com", True),
        ("https://services1.arcgis.com/ORG/arcgis/rest/services", True),
        ("https://city.maps.arcgis.com", True),
        ("https://arcgis.com", True),
        ("http://www.arcgis.com", False),
        ("https://www.arcgis.com:8443", False),
        ("https://evilarcgis.com", False),
        ("https://www.arcgis.com.evil.net", False),
    ],
)
def test_arcgis_online_is_one_domain(url: str, online: bool) -> None:
    assert is_arcgis_online(url) is online


def test_a_host_is_named_with_its_port_if_that_is_not_the_usual_one() -> None:
    assert host_name(f"{GIS}:443/x") == "gis.example.org"
    assert host_name(f"{GIS}:6443/x") == "gis.example.org:6443"
    assert host_name("http://[::1]:9000") == "[::1]:9000"
