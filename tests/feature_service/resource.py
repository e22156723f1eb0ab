"""The service root and the layer resource.

Source: ArcGIS REST API, "Feature Service", "Layer (Feature Service)", "Sync-enabled feature
services". Members of `service.json` this module does not make itself are shown as they are.
"""

import json
from typing import Any

from .definition import Layer, Relationship
from .hosted import Hosted
from .projection import document_of
from .query import Selection, extent
from .replica import Replica
from .store import CURRENT

_PRIVATE = frozenset(("layers", "tables", "maxUploadFileSize", "allowedUploadFileTypes"))


def service_document(hosted: Hosted) -> dict[str, Any]:
    """The service root."""
    service, profile = hosted.service, hosted.profile
    capabilities = list(service.capability_list)
    if not profile.supports_change_tracking and "ChangeTracking" in capabilities:
        capabilities.remove("ChangeTracking")
    syncs = "Sync" in capabilities
    full = service_extent(hosted)
    shown: dict[str, Any] = {
        "currentVersion": service.version,
        "serviceDescription": "",
        "hasVersionedData": False,
        "hasBranchVersionedData": False,
        "supportsDisconnectedEditing": False,
        "supportsDatumTransformation": False,
        "supportsRelationshipsResource": True,
        "supportsReturnDeleteResults": True,
        "supportsApplyEditsWithGlobalIds": all(
            layer.global_id_field for layer in service.layers.values()
        ),
        "hasStaticData": False,
        "maxRecordCount": service.max_record_count,
        "supportedQueryFormats": "JSON, geoJSON",
        "supportedExportFormats": "",
        "capabilities": ",".join(capabilities),
        "description": "",
        "copyrightText": "",
        "spatialReference": document_of(hosted.wkid),
        "initialExtent": full,
        "fullExtent": full,
        "allowGeometryUpdates": True,
        "units": "esriDecimalDegrees" if hosted.wkid == 4326 else "esriMeters",
        "enableZDefaults": False,
        "zDefault": 0,
        "supportsTrueCurve": False,
        "xssPreventionInfo": {
            "xssPreventionEnabled": False,
            "xssPreventionRule": "InputOnly",
            "xssInputRule": "rejectInvalid",
        },
        "editorTrackingInfo": _editor_tracking(hosted),
        "advancedEditingCapabilities": {
            "supportsSplit": False,
            "supportsReturnServiceEditsInSourceSR": False,
            "supportsAsyncApplyEdits": profile.supports_async,
            "supportsApplyEditsbyUploadID": True,
            "supportedApplyEditsUploadIDFormats": "JSON",
            "supportsReturnEditResults": True,
        },
    }
    shown |= {name: value for name, value in service.document.items() if name not in _PRIVATE}
    shown["capabilities"] = ",".join(capabilities)
    shown["syncEnabled"] = syncs
    if syncs:
        shown["syncCapabilities"] = sync_capabilities(hosted)
    if "ChangeTracking" in capabilities:
        shown["extractChangesCapabilities"] = _extract_capabilities()
        shown["changeTrackingInfo"] = _change_tracking(hosted)
    shown["layers"] = [_entry(one) for one in service.layers.values() if not one.is_table]
    shown["tables"] = [_entry(one) for one in service.layers.values() if one.is_table]
    shown["relationships"] = _relationships(hosted)
    return shown


def sync_capabilities(hosted: Hosted) -> dict[str, Any]:
    """`syncCapabilities`, as the profile and `service.json` set them."""
    profile = hosted.profile
    return {
        "supportsASync": profile.supports_async,
        "supportsAsync": profile.supports_async,
        "supportsRegisteringExistingData": True,
        "supportsSyncDirectionControl": True,
        "supportsPerLayerSync": profile.sync_models in ("both", "perLayer"),
        "supportsPerReplicaSync": profile.sync_models in ("both", "perReplica"),
        "supportsSyncModelNone": True,
        "supportsRollbackOnFailure": profile.supports_rollback,
        "supportsAttachmentsSyncDirection": True,
        "supportsBiDirectionalSyncForServer": False,
        "supportedSyncDataOptions": 0,
        "supportsQueryWithDatumTransformation": False,
        "advancedReplicasResourceCapabilities": {
            "supportsVersion": False,
            "supportsReturnVersion": False,
            "supportsReturnLastSyncDate": True,
        },
        **(hosted.service.document.get("syncCapabilities") or {}),
    }


def _extract_capabilities() -> dict[str, bool]:
    return {
        "supportsReturnIdsOnly": True,
        "supportsReturnExtentOnly": True,
        "supportsReturnAttachments": True,
        "supportsLayerQueries": True,
        "supportsGeometry": True,
        "supportsSpatialFilter": True,
        "supportsReturnFeature": True,
        "supportsReturnHasGeometryUpdates": True,
        "supportsFieldsToCompare": True,
        "supportsServerGens": True,
    }


def _change_tracking(hosted: Hosted) -> dict[str, Any]:
    generation = hosted.store.generation
    return {
        "lastSyncDate": hosted.clock.now_ms(),
        "layerServerGens": [
            {
                "id": layer_id,
                "minServerGen": hosted.store.min_generation(layer_id),
                "serverGen": generation,
            }
            for layer_id in hosted.service.layers
        ],
    }


def _editor_tracking(hosted: Hosted) -> dict[str, Any]:
    layers = hosted.service.layers.values()
    controls = [
        layer.document["ownershipBasedAccessControlForFeatures"]
        for layer in layers
        if layer.document.get("ownershipBasedAccessControlForFeatures")
    ]
    shown: dict[str, Any] = {
        "enableEditorTracking": any(layer.tracking_fields for layer in layers),
        "enableOwnershipAccessControl": bool(controls),
    }
    for member in ("allowOthersToQuery", "allowOthersToUpdate", "allowOthersToDelete"):
        shown[member] = all(control.get(member, True) for control in controls)
    return shown


def _entry(layer: Layer) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": layer.id,
        "name": layer.name,
        "parentLayerId": -1,
        "defaultVisibility": True,
        "subLayerIds": None,
        "minScale": 0,
        "maxScale": 0,
    }
    if layer.is_table:
        shown["type"] = "Table"
    else:
        shown["type"] = "Feature Layer"
        shown["geometryType"] = layer.geometry_type
    return shown


def relationships_document(hosted: Hosted) -> dict[str, Any]:
    """The relationships resource."""
    return {"relationships": _relationships(hosted)}


def _relationships(hosted: Hosted) -> list[dict[str, Any]]:
    found = []
    for layer in hosted.service.layers.values():
        for one in layer.relationships:
            if not one.is_origin:
                continue
            related = hosted.layer(one.related_layer)
            other = hosted.service.other_side(one)
            found.append(
                {
                    "id": one.id,
                    "name": one.document.get("name", f"relationship_{one.id}"),
                    "originLayerId": layer.id,
                    "originPrimaryKey": one.key_field,
                    "originForeignKey": other.key_field if other else "",
                    "destinationLayerId": related.id,
                    "cardinality": one.document.get("cardinality", "esriRelCardinalityOneToMany"),
                    "composite": one.is_composite,
                    "attributed": one.junction_layer is not None,
                    **_junction(one, other),
                }
            )
    return found


def _junction(one: Relationship, other: Relationship | None) -> dict[str, Any]:
    """What the service's list tells of the table between two layers."""
    if one.junction_layer is None:
        return {}
    return {
        "relationshipTableId": one.junction_layer,
        "originForeignKey": one.junction_field,
        "destinationPrimaryKey": other.key_field if other else "",
        "destinationForeignKey": other.junction_field if other else "",
    }


def layer_document(hosted: Hosted, layer: Layer) -> dict[str, Any]:
    """The resource of a layer or a table."""
    service = hosted.service
    shown: dict[str, Any] = {
        "currentVersion": service.version,
        "id": layer.id,
        "name": layer.name,
        "type": "Table" if layer.is_table else "Feature Layer",
        "parentLayer": None,
        "displayField": layer.object_id_field,
        "description": "",
        "copyrightText": "",
        "defaultVisibility": True,
        "editFieldsInfo": None,
        "ownershipBasedAccessControlForFeatures": None,
        "syncCanReturnChanges": "Sync" in service.capabilities,
        "relationships": [],
        "isDataVersioned": False,
        "isDataArchived": True,
        "isDataBranchVersioned": False,
        "isDataReplicaTracked": "Sync" in service.capabilities,
        "supportsRollbackOnFailureParameter": True,
        "supportsApplyEditsWithGlobalIds": bool(layer.global_id_field),
        "supportsAttachmentsByUploadId": True,
        "supportsStatistics": True,
        "supportsAdvancedQueries": True,
        "supportsCoordinatesQuantization": False,
        "advancedQueryCapabilities": {
            "supportsPagination": True,
            "supportsQueryWithDistance": False,
            "supportsReturningQueryExtent": True,
            "supportsStatistics": True,
            "supportsOrderBy": True,
            "supportsDistinct": True,
            "supportsQueryAttachments": True,
            "supportsQueryAttachmentsWithReturnUrl": True,
            "supportsTrueCurve": False,
        },
        "advancedEditingCapabilities": {"supportsAsyncApplyEdits": hosted.profile.supports_async},
        "useStandardizedQueries": True,
        "minScale": 0,
        "maxScale": 0,
        "hasAttachments": layer.has_attachments,
        "htmlPopupType": "esriServerHTMLPopupTypeNone",
        "hasM": layer.has_m,
        "hasZ": layer.has_z,
        "enableZDefaults": False,
        "zDefault": 0,
        "allowGeometryUpdates": True,
        "objectIdField": layer.object_id_field,
        "globalIdField": layer.global_id_field,
        "typeIdField": "",
        "subtypeField": "",
        "indexes": _indexes(layer),
        "dateFieldsTimeReference": {"timeZone": "UTC", "respectsDaylightSaving": False},
        "datesInUnknownTimezone": False,
        "types": [],
        "templates": [],
        "maxRecordCount": service.max_record_count,
        "supportedQueryFormats": "JSON, geoJSON",
        "capabilities": ",".join(sorted(service.layer_capabilities(layer))),
    }
    if not layer.is_table:
        shown["geometryType"] = layer.geometry_type
        everything = Selection(sql=f"v.gen_to = {CURRENT}", values=[])
        shown["extent"] = extent(hosted, layer, everything, None, hosted.wkid)
        shown["drawingInfo"] = None
    if layer.has_attachments:
        shown["attachmentProperties"] = [
            {"name": name, "fieldName": column, "isEnabled": True}
            for name, column in (
                ("name", "ATT_NAME"),
                ("size", "DATA_SIZE"),
                ("contentType", "CONTENT_TYPE"),
                ("keywords", "KEYWORDS"),
            )
        ]
    shown |= layer.document
    shown["fields"] = [_field(layer, dict(entry)) for entry in layer.document["fields"]]
    return shown


def _field(layer: Layer, entry: dict[str, Any]) -> dict[str, Any]:
    is_id = entry["type"] in ("esriFieldTypeOID", "esriFieldTypeGlobalID")
    is_tracked = entry["name"].lower() in layer.tracking_fields
    return {
        "alias": entry["name"],
        "nullable": not is_id,
        "editable": not (is_id or is_tracked),
        "domain": None,
        "defaultValue": None,
        **entry,
    }


def _indexes(layer: Layer) -> list[dict[str, Any]]:
    shown = [
        {
            "name": "PK_OID",
            "fields": layer.object_id_field,
            "isAscending": True,
            "isUnique": True,
            "description": "",
        }
    ]
    if layer.global_id_field:
        shown.append(
            {
                "name": "UUID_GID",
                "fields": layer.global_id_field,
                "isAscending": True,
                "isUnique": True,
                "description": "",
            }
        )
    return shown


def service_extent(hosted: Hosted) -> dict[str, Any]:
    """The box around every layer, or around the world when there is nothing."""
    boxes = []
    everything = Selection(sql=f"v.gen_to = {CURRENT}", values=[])
    for layer in hosted.service.layers.values():
        box = extent(hosted, layer, everything, None, hosted.wkid)
        if box["xmin"] != "NaN":
            boxes.append(box)
    reference = document_of(hosted.wkid)
    if not boxes:
        corner = (180.0, 90.0) if hosted.wkid == 4326 else (20037508.342787, 20037508.342787)
        box = {"xmin": -corner[0], "ymin": -corner[1], "xmax": corner[0], "ymax": corner[1]}
        return {**box, "spatialReference": reference}
    return {
        "xmin": min(box["xmin"] for box in boxes),
        "ymin": min(box["ymin"] for box in boxes),
        "xmax": max(box["xmax"] for box in boxes),
        "ymax": max(box["ymax"] for box in boxes),
        "spatialReference": reference,
    }


def replica_document(hosted: Hosted, replica: Replica) -> dict[str, Any]:
    """The replica info resource."""
    shown: dict[str, Any] = {
        "replicaName": replica.name,
        "replicaID": hosted.spelled(replica.id),
        "replicaOwner": replica.owner,
        "syncModel": replica.model,
    }
    if replica.model == "perReplica":
        shown["replicaServerGen"] = max(replica.generations.values())
    else:
        shown["layerServerGens"] = [
            {"id": layer_id, "serverGen": replica.generations[str(layer_id)]}
            for layer_id in replica.layer_ids
        ]
        if hosted.profile.info_generations == "text":
            shown["layerServerGens"] = json.dumps(shown["layerServerGens"])
    spatial = replica.spatial_filter(hosted.wkid)
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), spatial.box, strict=True)) if spatial else {}
    return {
        **shown,
        "creationDate": replica.created_ms,
        "lastSyncDate": replica.last_sync_ms,
        "returnAttachments": replica.returns_attachments,
        "attachmentsSyncDirection": replica.attachments_direction,
        "spatialRel": "esriSpatialRelIntersects",
        "targetType": replica.target,
        "syncDirection": replica.direction,
        "geometry": {**box, "spatialReference": document_of(hosted.wkid)} if spatial else None,
        "layers": [
            {
                "id": query.layer_id,
                "queryOption": query.option,
                "useGeometry": query.uses_geometry,
                "includeRelated": query.includes_related,
                "where": query.where,
            }
            for query in replica.queries
        ],
    }
