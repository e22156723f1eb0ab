"""What an office does to the layers of a service, and a device to its rows."""

from tests.engine.sync.fleet import HYDRANTS, Device, Fleet, gid
from tests.feature_service.mishap import change_schema
from tests.test_feature_service.world import field

COLOUR = field("colour", "String", length=12, defaultValue="red", alias="Colour")


def change(world: Fleet, layer: int, **what: object) -> None:
    """Change a layer of the service; see ``change_schema``."""
    change_schema(world.inside, {"layer": layer, **what})


async def edit(device: Device, number: int, layer: int = HYDRANTS, **attributes: object) -> None:
    """Edit a row on the device."""
    async with device.open() as geodatabase:
        await geodatabase.table(layer).update_feature(gid(number), attributes)


async def name_there(world: Fleet, number: int) -> object:
    """The name that a hydrant has on the service."""
    (feature,) = await world.features(HYDRANTS, f"GlobalID='{gid(number)}'")
    return feature["attributes"]["name"]
