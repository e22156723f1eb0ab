"""What a channel reads from every shape of answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import LinkError, ProtocolError, ServiceRefusedError
from engine.model import EditOperation as Op
from engine.service.session import Session
from engine.sync.channels import EditAnswer
from tests.engine.sync.sending import apply_edits, sending, synchronize
from tests.fakes.http_server import Cut, HttpServer, Reply, answer, json_answer
from tests.test_feature_service.world import gid


async def answers(channel_of: Any, folder: Path, *replies: Reply) -> list[EditAnswer]:
    """What the channel makes of a server that answers so."""
    spool = folder / "spool"
    spool.write_text("[]")
    async with HttpServer(*replies) as server, Session() as session:
        channel = channel_of(session, server.origin)
        found = await channel.send(sending(spool, folder / "target"))
    return list(found)


def short(found: list[EditAnswer]) -> list[tuple[int, bool, Op, int, bool]]:
    return [(a.layer_id, a.is_attachment, a.operation, a.position, a.success) for a in found]


GOOD = {"objectId": 7, "globalId": gid(1), "success": True}
BAD = {
    "objectId": -1,
    "globalId": gid(2).strip("{}").lower(),
    "success": False,
    "error": {"code": 1019, "description": "Not allowed.", "extendedCode": -2147207418},
}


async def test_an_answer_tells_all_of_an_edit(tmp_path: Path) -> None:
    good, bad = await answers(
        apply_edits, tmp_path, json_answer([{"id": 4, "addResults": [GOOD, BAD]}])
    )

    assert good == EditAnswer(
        layer_id=4,
        is_attachment=False,
        operation=Op.ADD,
        position=0,
        global_id=gid(1),
        object_id=7,
        success=True,
        code=None,
        description="",
    )
    assert (bad.global_id, bad.object_id, bad.success) == (gid(2), None, False)
    assert (bad.code, bad.description, bad.position) == (1019, "Not allowed.", 1)


@pytest.mark.parametrize(
    ("result", "success", "code", "description"),
    [
        ({"success": True}, True, None, ""),
        ({"success": True, "error": {}}, True, None, ""),
        ({"success": True, "error": {"code": 1}}, False, 1, ""),
        ({"success": False}, False, None, ""),
        ({"success": "true"}, False, None, ""),
        ({}, False, None, ""),
        (
            {"success": False, "error": {"code": -2147217395, "message": "x"}},
            False,
            -2147217395,
            "x",
        ),
        ({"success": False, "error": {"extendedCode": -5}}, False, -5, ""),
        ({"success": False, "error": {"code": "no"}}, False, None, ""),
        ({"success": False, "error": "x"}, False, None, "x"),
    ],
)
async def test_only_a_plain_success_is_one(
    result: dict[str, Any], success: bool, code: int | None, description: str, tmp_path: Path
) -> None:
    (found,) = await answers(
        apply_edits, tmp_path, json_answer([{"id": 0, "updateResults": [result]}])
    )

    assert (found.success, found.code, found.description) == (success, code, description)
    assert found.global_id is None


ALL = {"addResults": [GOOD], "updateResults": [GOOD, BAD], "deleteResults": [BAD]}
PHOTOS = {"addResults": [GOOD], "deleteResults": [BAD]}
TOLD = [
    (0, False, Op.ADD, 0, True),
    (0, False, Op.UPDATE, 0, True),
    (0, False, Op.UPDATE, 1, False),
    (0, False, Op.DELETE, 0, False),
    (0, True, Op.ADD, 0, True),
    (0, True, Op.DELETE, 0, False),
]


@pytest.mark.parametrize(
    "file",
    [
        {"edits": [{"id": 0, **ALL, "attachments": PHOTOS}]},
        {"edits": [{**ALL, "attachments": PHOTOS, "id": 0}]},
        {"edits": [{"id": 0, "features": ALL, "attachments": PHOTOS}]},
        {"edits": [{"id": 0, "features": {**ALL, "adds": None}, "attachmentResults": PHOTOS}]},
        {
            "edits": [
                {
                    "id": 0,
                    **{name.upper(): entries for name, entries in ALL.items()},
                    "addAttachmentResults": [GOOD],
                    "deleteAttachmentResults": [BAD],
                }
            ]
        },
        {"editsResults": [{"id": 0, **ALL, "attachments": PHOTOS}]},
        {"editResults": [{"id": 0, **ALL, "attachmentResults": PHOTOS}], "edits": [{"id": 0}]},
    ],
)
async def test_results_are_read_wherever_they_are(file: dict[str, Any], tmp_path: Path) -> None:
    found = await answers(
        synchronize,
        tmp_path,
        json_answer({"responseType": "esriReplicaResponseTypeEdits", "URL": "/f.json"}),
        json_answer(file),
    )

    assert short(found) == TOLD


async def test_results_may_come_in_the_answer_itself(tmp_path: Path) -> None:
    found = await answers(
        synchronize, tmp_path, json_answer({"replicaID": "x", "edits": [{"id": 0, **ALL}]})
    )

    assert short(found) == TOLD[:4]


@pytest.mark.parametrize(
    "file",
    [
        {"edits": [{"id": 0, "addResults": None, "updateResults": "many"}]},
        {"edits": [{"id": 0, "addResults": [None, 7, "x"]}]},
        {"edits": [{"id": 0, "attachmentResults": [GOOD]}]},
        {"editsResults": {"addResults": [GOOD]}},
        {"editsResults": [None, {"addResults": [GOOD]}, {"id": "0", "addResults": [GOOD]}]},
        {"edits": []},
        {},
    ],
)
async def test_what_is_not_understood_is_no_answer(file: dict[str, Any], tmp_path: Path) -> None:
    found = await answers(
        synchronize, tmp_path, json_answer({"replicaID": "x", "URL": "/f"}), json_answer(file)
    )

    assert found == []


async def test_no_edits_are_no_answers(tmp_path: Path) -> None:
    nothing = json_answer({"responseType": "esriReplicaResponseTypeNoEdits"})

    assert await answers(synchronize, tmp_path, nothing) == []


async def test_a_cut_result_file_is_an_error(tmp_path: Path) -> None:
    whole = json.dumps({"edits": [{"id": 0, **ALL}]})

    with pytest.raises(ProtocolError):
        await answers(
            synchronize, tmp_path, json_answer({"replicaID": "x", "URL": "/f"}), answer(whole[:-2])
        )


@pytest.mark.parametrize("channel_of", [apply_edits, synchronize])
async def test_a_refused_call_is_a_refusal(channel_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ServiceRefusedError):
        await answers(channel_of, tmp_path, json_answer({"error": {"code": 400}}))


@pytest.mark.parametrize("channel_of", [apply_edits, synchronize])
async def test_a_broken_answer_leaves_it_open(channel_of: Any, tmp_path: Path) -> None:
    with pytest.raises(LinkError):
        await answers(channel_of, tmp_path, Cut(answer("[", length=9)))


async def test_results_beside_the_moment_of_the_edits(tmp_path: Path) -> None:
    results = [{"id": 4, "addResults": [GOOD]}]
    reply = json_answer({"editMoment": 1714564800000, "editResults": results})

    assert short(await answers(apply_edits, tmp_path, reply)) == [(4, False, Op.ADD, 0, True)]


async def test_success_alone_says_nothing_of_an_edit(tmp_path: Path) -> None:
    assert await answers(apply_edits, tmp_path, json_answer({"success": True})) == []


@pytest.mark.parametrize("status", ["COMPLETED", "Completed", "completed with errors"])
async def test_results_of_a_job_of_apply_edits(tmp_path: Path, status: str) -> None:
    submitted = json_answer({"statusUrl": "jobs/sf_1/status"})
    done = json_answer({"status": status, "resultUrl": "../../result.json"})
    results = json_answer([{"id": 4, "addResults": [GOOD]}])

    found = await answers(apply_edits, tmp_path, submitted, done, results)

    assert short(found) == [(4, False, Op.ADD, 0, True)]


async def test_job_of_apply_edits_that_failed_has_refused_the_call(tmp_path: Path) -> None:
    submitted = json_answer({"statusUrl": "jobs/sf_1/status"})
    failed = json_answer({"status": "FAILED", "error": {"code": 400, "message": "No."}})

    with pytest.raises(ServiceRefusedError):
        await answers(apply_edits, tmp_path, submitted, failed)


async def test_job_of_apply_edits_without_results_leaves_the_outcome_open(tmp_path: Path) -> None:
    submitted = json_answer({"statusUrl": "jobs/sf_1/status"})
    gone = json_answer({"status": "COMPLETED", "resultUrl": "result.json"})

    with pytest.raises(ProtocolError):
        await answers(apply_edits, tmp_path, submitted, gone, answer("Not Found", status=404))
