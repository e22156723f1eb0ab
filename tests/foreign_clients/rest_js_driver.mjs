// npm `@esri/arcgis-rest-*`: queries, edits and attachments by their own functions, sync by
// `request`. Run by scripts/foreign-clients with a service url.
import { File } from "node:buffer"; // Node.js 18 has no global one
import "@esri/arcgis-rest-fetch";
import {
  addAttachment,
  addFeatures,
  applyEdits,
  deleteAttachments,
  deleteFeatures,
  getAttachments,
  getFeature,
  getLayer,
  getService,
  queryAllFeatures,
  queryFeatures,
  queryRelated,
  updateAttachment,
  updateFeatures,
} from "@esri/arcgis-rest-feature-service";
import { ApiKeyManager, ArcGISIdentityManager, request } from "@esri/arcgis-rest-request";
import { Report } from "./report.mjs";

const [url, guarded] = process.argv.slice(2);
const hydrants = `${url}/0`;
const report = new Report();
const everywhere = { xmin: -1e4, ymin: -1e4, xmax: 1e4, ymax: 1e4 };
const guid = "{ABCDEF12-0000-4000-8000-000000000001}";

async function read() {
  report.equal("service", (await getService({ url })).layers[0].name, "Hydrants");
  report.equal("layer", (await getLayer({ url: hydrants })).globalIdField, "GlobalID");
  const found = await queryFeatures({ url: hydrants, where: "serial < 3", outFields: ["name"] });
  report.equal("query", found.features.map((one) => one.attributes.name), ["H1", "H2"]);
  report.begin("paging");
  const every = await queryAllFeatures({ url: hydrants, params: { resultRecordCount: 4 } });
  report.equal("every page", every.features.length, 9);
  report.begin("query");
  report.equal("feature", (await getFeature({ url: hydrants, id: 1 })).attributes.name, "H1");
  report.begin("related");
  const related = await queryRelated({ url: hydrants, objectIds: [1], relationshipId: 0 });
  report.equal("related", related.relatedRecordGroups[0].relatedRecords.length, 2);
}

async function attach() {
  report.begin("attachments");
  const feature = { url: hydrants, featureId: 2 };
  const names = async () => (await getAttachments(feature)).attachmentInfos.map((one) => one.name);
  report.equal("list", (await getAttachments({ url: hydrants, featureId: 1 })).attachmentInfos.length, 1);
  const file = new File(["hello"], "note.txt", { type: "text/plain" });
  const added = (await addAttachment({ ...feature, attachment: file })).addAttachmentResult;
  report.equal("add", [added.success, await names()], [true, ["note.txt"]]);
  const response = await fetch(`${hydrants}/2/attachments/${added.objectId}`);
  report.equal("bytes", await response.text(), "hello");
  const other = new File(["hello again"], "other.txt", { type: "text/plain" });
  await updateAttachment({ ...feature, attachment: other, attachmentId: added.objectId });
  report.equal("update", await names(), ["other.txt"]);
  await deleteAttachments({ ...feature, attachmentIds: [added.objectId] });
  report.equal("delete", await names(), []);
}

async function signIn() {
  report.begin("token");
  const where = { url: `${guarded}/0`, where: "serial < 3" };
  try {
    await queryFeatures(where);
    report.check("without a token", false);
  } catch (error) {
    report.equal("without a token", [error.name, error.code], ["ArcGISAuthError", 499]);
  }
  const root = guarded.split("/rest/")[0];
  const info = await request(`${root}/rest/info`);
  const params = { username: "ann", password: "secret", client: "requestip", expiration: 5 };
  const given = await request(info.authInfo.tokenServicesUrl, { params });
  const tokenExpires = new Date(given.expires);
  const ann = new ArcGISIdentityManager({ server: guarded, token: given.token, tokenExpires });
  report.equal("with a token", (await queryFeatures({ ...where, authentication: ann })).features.length, 2);
  const key = ApiKeyManager.fromKey("the-key");
  report.equal("with an API key", (await queryFeatures({ ...where, authentication: key })).features.length, 2);
  try {
    await queryFeatures({ ...where, authentication: ApiKeyManager.fromKey("wrong") });
    report.check("with a wrong token", false);
  } catch (error) {
    report.equal("with a wrong token", error.code, 498);
  }
}

async function edit() {
  report.begin("edit");
  const features = [{ geometry: { x: 1, y: 1 }, attributes: { name: "js", serial: 700 } }];
  const added = await addFeatures({ url: hydrants, features });
  const objectId = added.addResults[0].objectId;
  const changed = [{ attributes: { OBJECTID: objectId, name: "js2" } }];
  report.equal("update", (await updateFeatures({ url: hydrants, features: changed })).updateResults[0].success, true);
  const both = await applyEdits({ url: hydrants, updates: changed, deletes: [objectId] });
  report.equal("applyEdits", both.deleteResults[0].success, true);
  const again = await addFeatures({ url: hydrants, features });
  const gone = await deleteFeatures({ url: hydrants, objectIds: [again.addResults[0].objectId] });
  report.equal("delete", gone.deleteResults[0].success, true);
}

async function synchronize() {
  report.begin("replica");
  const replica = await request(`${url}/createReplica`, {
    params: {
      replicaName: "js",
      layers: [0, 1],
      geometry: everywhere,
      geometryType: "esriGeometryEnvelope",
      syncModel: "perLayer",
      transportType: "esriTransportTypeEmbedded",
      returnAttachments: false,
    },
  });
  report.equal("createReplica", replica.layers[0].features.length, 9);
  report.begin("sync");
  const add = { geometry: { x: 2, y: 2 }, attributes: { GlobalID: guid, name: "from js" } };
  const answer = await request(`${url}/synchronizeReplica`, {
    params: {
      replicaID: replica.replicaID,
      syncLayers: replica.layerServerGens,
      edits: [{ id: 0, features: { adds: [add] } }],
      transportType: "esriTransportTypeEmbedded",
      returnIdsForAdds: true,
    },
  });
  report.equal("upload", answer.edits[0].addResults[0].globalId, guid);
  report.begin("changes");
  const generation = replica.layerServerGens[0].serverGen;
  const job = await request(`${url}/extractChanges`, {
    params: { layers: [0], serverGens: [generation], returnInserts: true },
  });
  report.check("extractChanges", Boolean(job.statusUrl));
  report.begin("replica");
  const closed = await request(`${url}/unRegisterReplica`, { params: { replicaID: replica.replicaID } });
  report.equal("unRegister", closed.success, true);
  await deleteFeatures({ url: hydrants, objectIds: [answer.edits[0].addResults[0].objectId] });
}

async function refused() {
  report.begin("query");
  try {
    await queryFeatures({ url: hydrants, where: "nonsense ==" });
    report.check("a bad clause is an error", false);
  } catch (error) {
    report.equal("a bad clause is an error", error.code, 400);
  }
}

await report.run({ read, edit, attach, synchronize, refused, signIn });
