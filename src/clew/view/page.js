// What `clew view` adds to the page of neuroglancer: it opens the state of the server, keeps it where that is wanted, and lets
// what is selected, and its meshes, follow the threshold.
const [, above, token] = location.pathname.match(/^(.*)\/v\/([^/]+)\//);
const base = `${location.origin}${above}/clew/${token}`;
const keeping = document.currentScript.dataset.keep === "true";
const WAIT = 150; // milliseconds without a change before something follows it

// A state in the address is one's own: two pages do not disturb each other. Without one, that of the server is the first.
const first = stateInAddress() ?? fetch(`${base}/state`).then((answer) => answer.json());
history.replaceState(null, "", "#!{}");

function stateInAddress() {
  try {
    return JSON.parse(decodeURIComponent(location.hash.slice(2)));
  } catch {
    return undefined;
  }
}

// neuroglancer 2.41 writes the address whenever 400 ms have passed, on a busy machine also in the midst of restoring a state, and then
// fails on layers of which it has made only half. So no time passes meanwhile.
function restore(state) {
  const clock = Date.now;
  const now = clock();
  Date.now = () => now;
  try {
    viewer.state.reset();
    viewer.state.restoreState(state);
  } finally {
    Date.now = clock;
  }
}

function after(wait, action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

function step() {
  const axis = viewer.coordinateSpace.value.names.indexOf("t");
  return axis < 0 ? undefined : Math.floor(viewer.position.value[axis]);
}

// For each layer: at which threshold it was last looked at, and the fragments that each selected segment stands for.
const chosen = new Map();

async function follow() {
  const now = step();
  if (now === undefined) return;
  for (const { name, layer } of viewer.layerManager.managedLayers) {
    const sources = (layer?.dataSources ?? []).map((source) => [source, source.spec.url.match(/^(.*\/mesh\/[^/]+\/)\d+(\/.*)$/)]);
    const meshes = sources.filter(([, parts]) => parts);
    if (!meshes.length) continue;
    for (const [source, [url, before, rest]] of meshes) {
      if (url !== `${before}${now}${rest}`) source.spec = { ...source.spec, url: `${before}${now}${rest}` };
    }
    await followSelection(name, layer.displayState.segmentationGroupState.value.visibleSegments, now);
  }
}

async function followSelection(name, visible, now) {
  const last = chosen.get(name) ?? { step: now, fragments: new Map() };
  const fragments = [...visible].flatMap((id) => last.fragments.get(id) ?? [id]);
  if (last.step === now || !fragments.length) return chosen.set(name, { step: now, fragments: last.fragments });
  const answer = await fetch(`${base}/segments/${name}/${now}?ids=${fragments.join()}`);
  if (!answer.ok || step() !== now) return;
  const found = new Map();
  (await answer.json()).forEach((text, k) => found.set(BigInt(text), [...(found.get(BigInt(text)) ?? []), fragments[k]]));
  chosen.set(name, { step: now, fragments: found });
  for (const id of [...visible]) if (!found.has(id)) visible.delete(id);
  for (const id of found.keys()) visible.add(id);
}

function keep() {
  const text = JSON.stringify(viewer.state.toJSON(), (_, value) => (typeof value === "bigint" ? `${value}` : value));
  fetch(`${base}/state`, { method: "POST", body: text });
}

addEventListener("load", async () => {
  restore(await first);
  viewer.position.changed.add(after(WAIT, follow));
  viewer.layerManager.readyStateChanged.add(after(WAIT, follow));
  if (keeping) viewer.state.changed.add(after(4 * WAIT, keep));
  dispatchEvent(new Event("restored"));
});
