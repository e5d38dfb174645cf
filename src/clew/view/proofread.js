
// What `clew proofread` adds: keys for what neuroglancer's tools do not do, and a selection that follows every edit.
const KEYS = { "control+keyz": "undo", "control+keyy": "redo", keyj: "next", keyk: "seen", keyd: "done", keyp: "path",
  keyf: "one", keyg: "other", keyc: "cut" };
const HELP = "shift+M merge · shift+C split · ctrl+Z undo · ctrl+Y redo · J next doubtful contact · K seen, next · D segment is done · P path · "
  + "F, G points of two sides, C cut between them";
const LOOK = 1000; // milliseconds between two looks for what has changed
const OVERVIEW = "all-corrected";
const POINT = 0, LINE = 1; // neuroglancer's types of annotations

const layerOf = (test) => viewer.layerManager.managedLayers.map(({ layer }) => layer).find((layer) => layer && test(layer));
const edited = () => layerOf((layer) => layer.dataSources[0]?.spec.url.startsWith("graphene://"));

function tell(text) {
  let box = document.getElementById("clew-edits");
  if (!box) {
    box = document.createElement("div");
    box.id = "clew-edits";
    box.style.cssText = "position:fixed; bottom:2px; left:50%; transform:translateX(-50%); text-align:center; background:#000c;"
      + "color:#ccc; font:12px sans-serif; padding:3px 9px; border-radius:4px; pointer-events:none; width:max-content; max-width:96vw; z-index:99";
    box.append(document.createElement("b"), document.createElement("div"));
    box.firstChild.style.color = "#fff";
    box.lastChild.textContent = HELP;
    document.body.append(box);
  }
  box.firstChild.textContent = text;
}

// What lies below the mouse, and where.
function pointed(layer) {
  const { baseValue, value } = layer.displayState.segmentSelectionState;
  return viewer.mouseState.active ? { segment: String(baseValue ?? value ?? ""), place: [...viewer.mouseState.position].slice(0, 3) } : {};
}

function show(layer, found) {
  const { visibleSegments, selectedSegments } = layer.displayState.segmentationGroupState.value;
  for (const [old, others] of Object.entries(found.selected)) {
    const seen = visibleSegments.has(BigInt(old));
    selectedSegments.delete(BigInt(old));
    for (const other of others) (seen ? visibleSegments : selectedSegments).add(BigInt(other));
  }
  const [source] = layer.dataSources;
  const url = source.spec.url.replace(/(\/table\/segments)\d*/, `$1${found.version || ""}`);
  if (url !== source.spec.url) source.spec = { ...source.spec, url }; // fragments were divided: all data are read anew
  renew(found.changes);
  if (found.show) {
    visibleSegments.clear();
    selectedSegments.clear();
    for (const segment of found.show) visibleSegments.add(BigInt(segment));
  }
  if (found.position) viewer.position.value = Float32Array.from([...found.position, ...viewer.position.value.slice(3)]);
  for (const segment of found.add ?? []) visibleSegments.add(BigInt(segment));
  if (found.line) draw("path", lineOf(found.line));
  if (found.points) found.points.forEach((points, side) => draw(side ? "other side" : "one side", points.map(pointOf)));
  if (found.text) tell(found.text);
}

// The layer of all segments is read anew after each edit, by a new address.
function renew(changes) {
  for (const source of viewer.layerManager.getLayerByName(OVERVIEW)?.layer?.dataSources ?? []) {
    const url = source.spec.url.replace(/~\d+\/$|\/$/, changes ? `~${changes}/` : "/");
    if (url !== source.spec.url) source.spec = { ...source.spec, url };
  }
}

// an id is never used again: neuroglancer remembers what was deleted
const pointOf = (point) => ({ type: POINT, id: "", properties: [], point: Float32Array.from(point) });
const lineOf = (points) => points.slice(1).map((point, k) => (
  { type: LINE, id: "", properties: [], pointA: Float32Array.from(points[k]), pointB: Float32Array.from(point) }));

function draw(name, annotations) {
  const drawn = viewer.layerManager.getLayerByName(name)?.layer.localAnnotations;
  if (!drawn) return;
  for (const { id } of [...drawn]) drawn.delete(drawn.getReference(id));
  for (const annotation of annotations) drawn.add(annotation);
}

// Asks the server to do something; segments that are no more are exchanged for those in their place.
async function ask(action) {
  const layer = edited();
  if (!layer) return;
  const selected = [...layer.displayState.segmentationGroupState.value.selectedSegments].map(String);
  const body = JSON.stringify({ selected, ...pointed(layer) });
  const answer = await fetch(`${base}/edits/${action}`, { method: "POST", body });
  const found = await answer.json();
  if (answer.ok) show(layer, found);
  else tell(found.message);
}

addEventListener("restored", () => {
  for (const [key, action] of Object.entries(KEYS)) {
    viewer.inputEventBindings.global.set(key, `${action}-edit`);
    viewer.bindAction(`${action}-edit`, () => ask(action));
  }
  setInterval(() => ask("look"), LOOK);
  tell("double-click selects a segment");
});
