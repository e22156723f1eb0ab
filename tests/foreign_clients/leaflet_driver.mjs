// npm `esri-leaflet` in `jsdom`: reads and edits in degrees, against a service in metres.
// Run by scripts/foreign-clients with a service url.
import { JSDOM } from "jsdom";
import { Report } from "./report.mjs";

const url = process.argv[2];
const dom = new JSDOM("<div id='map'></div>", { url: "http://127.0.0.1/", pretendToBeVisual: true });
for (const name of ["window", "document", "HTMLElement", "XMLHttpRequest", "FormData", "SVGElement"]) {
  Object.defineProperty(globalThis, name, { value: dom.window[name] ?? dom.window, configurable: true });
}
Object.defineProperty(globalThis, "navigator", { value: dom.window.navigator, configurable: true });
dom.window.requestAnimationFrame = (call) => setTimeout(call, 0);
const L = await import("leaflet");
const esri = await import("esri-leaflet");
const report = new Report();

function answered(start) {
  return new Promise((resolve, reject) => {
    start((error, ...found) => (error ? reject(new Error(error.message ?? String(error))) : resolve(found[0])));
  });
}

async function read() {
  const found = await answered((done) => esri.query({ url: `${url}/0` }).where("serial < 4").run(done));
  report.equal("query", found.features.length, 3);
  report.check("degrees", Math.abs(found.features[0].geometry.coordinates[0]) < 0.01);
  const count = await answered((done) => esri.query({ url: `${url}/0` }).where("1=1").count(done));
  report.equal("count", count, 9);
  const bounds = L.latLngBounds([0.0013, 0.0013], [0.0019, 0.0019]);
  const within = await answered((done) => esri.query({ url: `${url}/0` }).within(bounds).run(done));
  report.equal("within", within.features.map((one) => one.properties.name), ["H2"]);
}

async function edit() {
  report.begin("edit");
  const layer = esri.featureLayerService({ url: `${url}/0` });
  const feature = {
    type: "Feature",
    geometry: { type: "Point", coordinates: [0.5, 0.5] },
    properties: { name: "leaflet", serial: 800 },
  };
  const added = await answered((done) => layer.addFeature(feature, done));
  const response = await fetch(`${url}/0/${added.objectId}?f=json`);
  const stored = (await response.json()).feature.geometry;
  report.equal("reprojected", [Math.round(stored.x), Math.round(stored.y)], [55660, 55660]);
  feature.id = added.objectId;
  feature.properties = { OBJECTID: added.objectId, name: "leaflet2" };
  report.equal("update", (await answered((done) => layer.updateFeature(feature, done))).success, true);
  report.equal("delete", (await answered((done) => layer.deleteFeature(added.objectId, done))).success, true);
}

await report.run({ read, edit });
process.exit(report.failed ? 1 : 0);
