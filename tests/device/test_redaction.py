"""Secrets are taken out of what is shown, whatever they are called and wherever they stand."""

import json

import pytest
from hypothesis import given, strategies as st

from device.redaction import HIDDEN, redacted

SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "passwd",
        "key_password",
        "client_secret",
        "token",
        "refresh_token",
        "api_key",
        "apikey",
        "pin",
        "sim_pin",
        "puk",
        "key",
        "wifi_psk",
    ],
)
def test_a_secret_is_hidden_by_its_name(name: str) -> None:
    assert redacted({"a": [{name: SECRET}]}) == {"a": [{name: HIDDEN}]}


@pytest.mark.parametrize(
    "value",
    [
        {"token_expiration_interval": 60},
        {"apn": "internet", "keyboard": "de", "credentials": "/etc/fieldsync/credentials.toml"},
        {"password": "", "pin": None, "is_token_wanted": True},
        {"service": "https://gis.example.org/arcgis/rest/services/T/FeatureServer?f=json&tokens"},
    ],
)
def test_what_is_no_secret_stays(value: dict[str, object]) -> None:
    assert redacted(value) == value


@pytest.mark.parametrize("value", [1234, [SECRET, SECRET], {"password": SECRET}])
def test_a_secret_is_hidden_whatever_it_is(value: object) -> None:
    shown = json.dumps(redacted({"pin": value}))

    assert SECRET not in shown
    assert "1234" not in shown


def test_urls_lose_what_is_secret_in_them() -> None:
    text = f"see https://user:{SECRET}@host/x?f=json&token={SECRET}&where=1 and more"

    assert redacted(text) == f"see https://{HIDDEN}@host/x?f=json&token={HIDDEN}&where=1 and more"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from(["password", "token", "api_key"]))
def test_no_secret_survives_anywhere_in_a_value(value: object, name: str) -> None:
    secret = {name: "0p3n-s3same"}

    shown = json.dumps(redacted([value, {"a": value, "b": secret}, [[secret]]]))

    assert "0p3n-s3same" not in shown
