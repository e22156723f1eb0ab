"""Branch versions: reconciled where the service offers it, refused early where it does not."""

import pytest

from engine.errors import BadParameterError
from engine.sync.parameters import PushChannel
from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign


async def _edited(world: Fleet) -> Device:
    a = await world.device("A")
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(1)}'")
    world.server.log.clear()
    return a


def _offer(world: Fleet) -> None:
    offered = {"supportsBranchVersionReconcile": True}
    world.inside.service.document["syncCapabilities"] = offered


async def test_service_that_cannot_reconcile_is_told_before_anything_is_sent(world: Fleet) -> None:
    a = await _edited(world)

    with pytest.raises(BadParameterError, match="cannot reconcile"):
        await a.sync(reconcile_branch_version=True)

    assert sum((await a.pending()).values()) == 1
    assert not {"applyEdits", "synchronizeReplica"} & set(world.server.log)


async def test_only_synchronize_replica_can_ask_for_it(world: Fleet) -> None:
    _offer(world)
    a = await _edited(world)

    with pytest.raises(BadParameterError, match="applyEdits"):
        await a.sync(reconcile_branch_version=True, push_channel=PushChannel.APPLY_EDITS)
    await a.sync(reconcile_branch_version=True)

    assert "applyEdits" not in world.server.log
    assert (await world.rows())[HYDRANTS][gid(1)]["name"] == "mine"
