"use strict";
// The charts take the theme's colours. The listening room loads a class's sounds when the class is chosen, and shows a
// few training clips at a time, so that any number of either can be listened to.

const $ = (id) => document.getElementById(id);

// ── Theme ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  drawAll();
});
dark.addEventListener("change", drawAll);

// ── Charts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const views = new Map(); // of chart elements

function config() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  const axis = { labelColor: of("--ink"), titleColor: of("--quiet"), gridColor: of("--line"), domainColor: of("--line"), tickColor: of("--line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return { background: "transparent", font: "system-ui, sans-serif", axis, view: { stroke: null } };
}

async function draw(element) {
  const spec = JSON.parse(element.querySelector("script").textContent);
  const { description, ...rest } = spec; // the element itself is labelled
  const place = element.querySelector(".place") ?? element.appendChild(Object.assign(document.createElement("div"), { className: "place" }));
  place.style.width = "100%";
  views.get(element)?.finalize();
  const { view, finalize } = await vegaEmbed(place, rest, { actions: false, renderer: "svg", config: config() });
  views.set(element, { view, finalize });
  const menu = element.closest(".group")?.querySelector("[data-row]");
  if (menu) await view.signal("row", menu.value).runAsync();
}

function drawAll() {
  for (const element of document.querySelectorAll(".chart")) if (element.dataset.seen) draw(element);
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || target.dataset.seen) continue;
    target.dataset.seen = "yes";
    watcher.unobserve(target);
    draw(target);
  }
}, { rootMargin: "600px" });
for (const element of document.querySelectorAll(".chart")) watcher.observe(element);

for (const menu of document.querySelectorAll("[data-row]")) {
  menu.addEventListener("change", () => {
    for (const chart of menu.closest(".group").querySelectorAll(".chart")) views.get(chart)?.view.signal("row", menu.value).runAsync();
  });
}

// ── The listening room ─────────────────────────────────────────────────────────────────────────────────────────────

const PAGE = 4; // training clips that are shown at once
const NAMES = { real: "training clip", roundtrip: "round trip", classic: "classic", background: "over a background", diffusion: "variation" };
const VERDICTS = { kept: "✓ kept", doubtful: "? kept, doubtful", rejected: "✗ rejected" };
const loaded = new Map(); // families by class
const room = { families: [], page: 0, cards: [], current: -1 };
const audio = $("audio");

window.listeningRoom = { add: (slug, families) => loaded.set(slug, families) };

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function load(slug) {
  if (loaded.has(slug)) return Promise.resolve();
  return new Promise((done) => {
    const script = make("script", { src: `listen/${slug}.js` });
    script.onload = done;
    script.onerror = () => { loaded.set(slug, []); done(); };
    document.head.append(script);
  });
}

function matches(sound, wanted) {
  if (sound.kind === "real") return true;
  if (!wanted.kinds.has(sound.kind)) return false;
  if (wanted.verdict && sound.verdict !== wanted.verdict) return false;
  if (!wanted.strength) return true;
  const [low, high] = wanted.strength.split("-").map((text) => (text === "" ? Infinity : Number(text)));
  return sound.kind === "diffusion" && sound.strength >= low && sound.strength < high;
}

async function choose() {
  const slug = $("class").value;
  await load(slug);
  if (slug !== $("class").value) return; // another was chosen meanwhile
  const wanted = {
    kinds: new Set([...document.querySelectorAll("[name=kind]:checked")].map((box) => box.value)),
    strength: $("strength").value,
    verdict: $("verdict").value,
  };
  const narrow = wanted.strength || wanted.verdict;
  room.families = loaded.get(slug)
    .map((family) => ({ ...family, sounds: family.sounds.filter((sound) => matches(sound, wanted)) }))
    .filter((family) => !narrow || family.sounds.length > 1);
  room.page = 0;
  show();
}

function show() {
  stop();
  const first = room.page * PAGE;
  const shown = room.families.slice(first, first + PAGE);
  room.cards = [];
  room.current = -1;
  $("families").replaceChildren(...shown.map(family));
  const all = room.families.length;
  const sounds = room.families.reduce((sum, one) => sum + one.sounds.length, 0);
  $("count").textContent = all ? `${sounds} sounds of ${all} training clips` : "No sound fits. Choose another strength or verdict.";
  $("where").textContent = all ? `${first + 1} to ${Math.min(first + PAGE, all)} of ${all}` : "";
  $("back").disabled = room.page === 0;
  $("on").disabled = first + PAGE >= all;
}

function family(one) {
  const title = make("h3", {}, one.recording && one.recording !== one.root ? `${one.root} · recording ${one.recording}` : one.root);
  return make("section", { class: "family", "aria-label": one.root }, title, make("div", { class: "sounds" }, ...one.sounds.map(card)));
}

function nameOf(sound) {
  return sound.strength === undefined ? NAMES[sound.kind] : sound.kind === "background" ? `over a background, ${sound.strength.toFixed(0)} dB` : `${NAMES[sound.kind]}, strength ${sound.strength.toPrecision(2)}`;
}

function nameOfClass(slug) {
  return [...$("class").options].find((one) => one.value === slug)?.dataset.name ?? slug;
}

function heard(sound) {
  const own = $("class").value;
  const share = `${Math.round(100 * sound.probability)} %`;
  return sound.heard === own ? `heard as ${nameOfClass(own)}, ${share}` : `heard as ${nameOfClass(sound.heard)}; as ${nameOfClass(own)} ${share}`;
}

function card(sound) {
  const name = nameOf(sound);
  const picture = make("img", { src: `${sound.place}.png`, alt: "", loading: "lazy" });
  const play = make("button", { class: "play", type: "button", "aria-label": `Play: ${name}` }, picture);
  const element = make("article", { class: `sound ${sound.verdict ?? ""}` }, play, make("p", { class: "name" }, name));
  if (sound.verdict) element.append(make("p", { class: "verdict" }, VERDICTS[sound.verdict] + (sound.reason ? `: ${sound.reason}` : sound.verdict === "rejected" ? ": others stand for it" : "")));
  if (sound.heard) element.append(make("p", {}, heard(sound)));
  if (sound.cosine !== undefined) element.append(make("p", {}, `cosine ${sound.cosine.toFixed(2)} to the clip`));
  const facts = { clip: sound.clip, start: sound.start, "mixed with": sound.other, model: sound.model, seed: sound.seed, "nearest training clip": sound.nearest, seconds: sound.seconds };
  const list = make("dl");
  for (const [term, fact] of Object.entries(facts)) if (fact !== undefined && fact !== null) list.append(make("dt", {}, term), make("dd", {}, String(fact)));
  element.append(make("details", {}, make("summary", {}, "lineage"), list));
  const index = room.cards.length;
  room.cards.push({ element, sound, name });
  play.addEventListener("click", () => toggle(index));
  return element;
}

function toggle(index) {
  if (index === room.current && !audio.paused) return stop();
  const { element, sound, name } = room.cards[index];
  mark(index);
  audio.src = `${sound.place}.flac`;
  $("player").hidden = false;
  $("playing").textContent = `${nameOfClass($("class").value)}: ${name}`;
  element.scrollIntoView({ block: "nearest" });
  audio.play().catch(() => { $("playing").textContent = `${sound.place}.flac cannot be played here`; });
}

function mark(index) {
  for (const { element } of room.cards) element.classList.remove("current", "playing");
  room.current = index;
  room.cards[index]?.element.classList.add("current");
}

function stop() {
  audio.pause();
}

const state = (event) => room.cards[room.current]?.element.classList.toggle("playing", event.type === "play");
audio.addEventListener("play", state);
audio.addEventListener("pause", state);

function step(by) {
  const next = room.current + by;
  if (next >= 0 && next < room.cards.length) return toggle(next);
  const page = room.page + Math.sign(by);
  if (page < 0 || page * PAGE >= room.families.length) return;
  room.page = page;
  show();
  toggle(by > 0 ? 0 : room.cards.length - 1);
}

function turn(by) {
  room.page += by;
  show();
  $("count").scrollIntoView({ block: "nearest" });
}

$("back").addEventListener("click", () => turn(-1));
$("on").addEventListener("click", () => turn(1));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("change", (event) => { if (event.target.id !== "shortcuts") choose(); });

document.addEventListener("keydown", (event) => {
  if (!$("shortcuts").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, input, textarea, audio") || (event.key === " " && event.target.closest("button, a, summary"))) return;
  const menu = $("class");
  const actions = {
    n: () => step(1),
    p: () => step(-1),
    c: () => { menu.selectedIndex = (menu.selectedIndex + 1) % menu.length; choose(); },
    " ": () => (room.cards.length ? toggle(Math.max(room.current, 0)) : undefined),
    Escape: stop,
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

choose();
