
// What `clew proofread` adds: keys for what neuroglancer's tools do not do, and a selection that follows every edit.
const KEYS = { "control+keyz": "undo", "control+keyy": "redo" };
const LOOK = 1000; // milliseconds between two looks for what has changed

function edited() {
  const found = viewer.layerManager.managedLayers.find(({ layer }) => layer?.dataSources?.[0]?.spec.url.startsWith("graphene://"));
  return found?.layer;
}

function tell(text) {
  let box = document.getElementById("clew-edits");
  if (!box) {
    box = document.createElement("div");
    box.id = "clew-edits";
    box.style.cssText = "position:fixed; bottom:4px; left:50%; transform:translateX(-50%); background:#000c; color:#fff; font:13px sans-serif; padding:4px 10px; border-radius:4px; pointer-events:none; z-index:99";
    document.body.append(box);
  }
  box.textContent = text;
}

// Asks the server to do something; segments that are no more are exchanged for those in their place.
async function ask(action, more = {}) {
  const layer = edited();
  if (!layer) return;
  const { visibleSegments, selectedSegments } = layer.displayState.segmentationGroupState.value;
  const selected = [...selectedSegments].map(String);
  const answer = await fetch(`${base}/edits/${action}`, { method: "POST", body: JSON.stringify({ selected, ...more }) });
  const found = await answer.json();
  if (!answer.ok) return tell(found.message);
  for (const [old, others] of Object.entries(found.selected)) {
    const seen = visibleSegments.has(BigInt(old));
    selectedSegments.delete(BigInt(old));
    for (const other of others) (seen ? visibleSegments : selectedSegments).add(BigInt(other));
  }
  const [source] = layer.dataSources;
  const url = source.spec.url.replace(/(\/table\/segments)\d*/, `$1${found.version || ""}`);
  if (url !== source.spec.url) source.spec = { ...source.spec, url }; // fragments were divided: all data are read anew
  if (found.text) tell(found.text);
  return found;
}

addEventListener("restored", () => {
  for (const [key, action] of Object.entries(KEYS)) {
    viewer.inputEventBindings.global.set(key, `${action}-edit`);
    viewer.bindAction(`${action}-edit`, () => ask(action));
  }
  setInterval(() => ask("look"), LOOK);
  ask("look");
});
