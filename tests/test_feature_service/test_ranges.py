"""Result files and attachments in part (RFC 9110, 13.1.5 and 14)."""

from tests.feature_service import Profile
from tests.test_feature_service.client import Client
from tests.test_feature_service.conftest import Serve

PLAIN = {"Accept-Encoding": "identity"}


async def result_url(client: Client) -> str:
    made = await client.replica(transportType="esriTransportTypeUrl")
    return str(made["URL"])


async def test_result_when_asked_from_a_byte_then_the_rest(client: Client) -> None:
    url = await result_url(client)
    async with client.session.get(url, headers=PLAIN) as whole:
        body, tag = await whole.read(), whole.headers["ETag"]
        assert whole.headers["Accept-Ranges"] == "bytes"

    wanted = PLAIN | {"Range": "bytes=100-", "If-Range": tag}
    async with client.session.get(url, headers=wanted) as part:
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes 100-{len(body) - 1}/{len(body)}"
        assert await part.read() == body[100:]


async def test_result_when_asked_for_some_bytes_then_those(client: Client) -> None:
    url = await result_url(client)
    async with client.session.get(url, headers=PLAIN) as whole:
        body = await whole.read()

    async with client.session.get(url, headers=PLAIN | {"Range": "bytes=10-19"}) as part:
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes 10-19/{len(body)}"
        assert await part.read() == body[10:20]


async def test_range_when_the_tag_is_another_then_the_whole(client: Client) -> None:
    url = await result_url(client)

    wanted = PLAIN | {"Range": "bytes=100-", "If-Range": '"other"'}
    async with client.session.get(url, headers=wanted) as whole:
        assert whole.status == 200


async def test_range_when_behind_the_end_then_416(client: Client) -> None:
    url = await result_url(client)

    async with client.session.get(url, headers=PLAIN | {"Range": "bytes=9999999-"}) as refused:
        assert refused.status == 416
        assert refused.headers["Content-Range"].startswith("bytes */")


async def test_result_when_packed_then_under_another_tag(client: Client) -> None:
    url = await result_url(client)
    async with client.session.get(url, headers=PLAIN) as whole:
        tag = whole.headers["ETag"]

    async with client.session.get(url, headers={"Accept-Encoding": "gzip"}) as packed:
        assert packed.headers["ETag"] != tag


async def test_attachment_when_asked_from_a_byte_then_the_rest(client: Client) -> None:
    url = f"{client.url}/0/1/attachments/1"
    async with client.session.get(url, headers=PLAIN) as whole:
        body, tag = await whole.read(), whole.headers["ETag"]

    wanted = PLAIN | {"Range": "bytes=2-", "If-Range": tag}
    async with client.session.get(url, headers=wanted) as part:
        assert (part.status, await part.read()) == (206, body[2:])


async def test_range_when_not_served_then_the_whole(serve: Serve) -> None:
    client = await serve(Profile(serves_ranges=False))
    url = await result_url(client)

    async with client.session.get(url, headers=PLAIN | {"Range": "bytes=100-"}) as whole:
        assert whole.status == 200
        assert "ETag" not in whole.headers
