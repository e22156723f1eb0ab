"""Which of the two ways up a sync takes."""

from collections.abc import Iterable

from engine.errors import BadParameterError
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import SyncModel
from engine.sync.channels import ApplyEditsChannel, Channel, SynchronizeReplicaChannel
from engine.sync.context import SyncContext
from engine.sync.parameters import PushChannel


def preferred_channel(schema: ServiceSchema, layers: Iterable[LayerSchema]) -> PushChannel:
    """``applyEdits`` where GlobalIDs are supported there and the data is not versioned."""
    by_global_ids = schema.supports_global_ids or all(one.supports_global_ids for one in layers)
    if by_global_ids and not schema.has_versioned_data:
        return PushChannel.APPLY_EDITS
    return PushChannel.SYNCHRONIZE_REPLICA


def choose_channel(context: SyncContext) -> Channel:
    """The one that was asked for, or the one that suits the service."""
    wanted = context.parameters.push_channel
    if context.parameters.reconcile_branch_version:
        _require_reconcile(context)
        wanted = PushChannel.SYNCHRONIZE_REPLICA
    elif wanted is PushChannel.AUTO:
        wanted = preferred_channel(context.schema, context.layers.values())
    if wanted is PushChannel.APPLY_EDITS:
        return ApplyEditsChannel(context.service, context.schema)
    _require_rollback(context)
    generations = {
        layer.layer_id: layer.generation or 0
        for layer in context.replica.layers
        if context.replica.sync_model is SyncModel.PER_LAYER
        and context.direction(layer.layer_id).uploads
    }
    return SynchronizeReplicaChannel(
        context.service,
        context.schema,
        replica_id=context.replica.replica_id,
        sync_model=context.replica.sync_model,
        generations=generations,
        reconcile_branch_version=context.parameters.reconcile_branch_version,
    )


def _require_reconcile(context: SyncContext) -> None:
    """Only ``synchronizeReplica`` can ask for it, and not of every service ("Synchronize
    replica")."""
    if not context.schema.supports_branch_reconcile:
        raise BadParameterError(
            f"{context.schema.url} cannot reconcile a branch version while it syncs",
            remedy="Sync without reconcile_branch_version; the owner can reconcile it",
        )
    if context.parameters.push_channel is PushChannel.APPLY_EDITS:
        raise BadParameterError(
            "reconcile_branch_version does not go with the push channel applyEdits",
            remedy="Leave the push channel to the sync",
        )


def _require_rollback(context: SyncContext) -> None:
    """Without the capability only services that are perReplica alone roll back ("RollbackOnFailure
    and sync models")."""
    if not context.parameters.rollback_on_failure or context.schema.supports_rollback:
        return
    if context.schema.sync_models != (SyncModel.PER_REPLICA,):
        raise BadParameterError(
            f"{context.schema.url} cannot take edits all or nothing",
            remedy="Sync without rollback_on_failure, or with another push_channel",
        )
