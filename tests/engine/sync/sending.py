"""Both channels, made for a service at any URL."""

from engine.layer_schema import ServiceSchema
from engine.model import SyncModel
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.sync.channels import ApplyEditsChannel, Channel, SynchronizeReplicaChannel
from tests.engine.geodatabase.schemas import URL, service


def apply_edits(session: Session, url: str = URL) -> Channel:
    return ApplyEditsChannel(FeatureService(url, session))


def synchronize(
    session: Session,
    url: str = URL,
    *,
    schema: ServiceSchema | None = None,
    model: SyncModel = SyncModel.PER_REPLICA,
    **generations: int,
) -> Channel:
    return SynchronizeReplicaChannel(
        FeatureService(url, session),
        schema or service(),
        replica_id="{R}",
        sync_model=model,
        generations={int(name[1:]): generation for name, generation in generations.items()},
    )


async def ignore(status_url: str) -> None:
    pass
