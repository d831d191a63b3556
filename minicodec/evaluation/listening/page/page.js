// The page of a listening test: instructions, a screen for practice, the screens that count, the end.
//
// Which screen is shown stands in the address (#3), the session's name in the browser's storage, and the ratings on
// the server: a page that is loaded again, or a browser that is started again, goes on where it was.

import { Player, SHORTEST } from "./player.js";

const LABELS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const STORED = "minicodec-listening-session";
const RETRY = 2000; // milliseconds
const PLAY = "M4 2 L14 8 L4 14 Z";
const PAUSE = "M3 2 H7 V14 H3 Z M9 2 H13 V14 H9 Z";

const at = (id) => document.getElementById(id);
const player = new Player(new AudioContext());
let session; // its name
let screens; // [{scores: [57, null, ...], done: false}, ...]; screen 0 is for practice
let shown; // the number of the screen that is shown
let loaded = false; // are its sounds here?
let unsaved = false; // is there a change that the server has not confirmed?
let saving = Promise.resolve(); // the save that is under way

async function ask(path, content) {
  const options = content && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
    keepalive: true, // sent even if the page is closed right now
  };
  const answer = await fetch(path, options);
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  return answer;
}

async function enter() {
  session = localStorage.getItem(STORED);
  if (session) {
    try {
      ({ screens } = await (await ask(`/sessions/${session}`)).json());
    } catch (error) {
      if (error.status !== 404) throw error;
      session = null; // of an earlier test
    }
  }
  if (!session) return welcome();
  const todo = screens.findIndex((screen, number) => number > 0 && !screen.done);
  const asked = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : todo;
  if (todo === -1 && !(asked > 0 && asked < screens.length)) return finish();
  show(todo === -1 || asked <= todo ? asked : todo);
}

async function welcome() {
  const { screens: clips, conditions } = await (await ask("/test")).json();
  at("extent").textContent = `${clips} ${clips === 1 ? "clip" : "clips"} with ${conditions} versions each, after one `
    + "for practice. Every rating is saved at once; you can pause, close the page, and go on later.";
  turnTo("welcome", "");
}

async function begin(event) {
  event.preventDefault();
  player.context.resume();
  const name = await (await ask("/sessions", { listener: at("listener").value })).json();
  localStorage.setItem(STORED, name.session);
  history.replaceState(null, "", "#0");
  await enter();
}

function turnTo(id, address) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  history.replaceState(null, "", address || location.pathname);
  scrollTo(0, 0);
  at(id).querySelector("h1").focus();
}

async function show(number) {
  shown = number;
  loaded = false;
  const practice = number === 0;
  const last = number === screens.length - 1;
  at("title").textContent = practice ? "Practice" : `Clip ${number} of ${screens.length - 1}`;
  at("hint").textContent = practice
    ? "Try everything out and set the volume. Nothing is saved here."
    : "How good is each version, compared with the reference?";
  at("next").textContent = practice ? "Begin the test" : last ? "Finish" : "Next";
  at("back").hidden = number <= 1;
  at("conditions").replaceChildren(...screens[number].scores.map(row));
  player.load([]);
  enable();
  turnTo("rating", `#${number}`);
  at("status").textContent = "Loading the sounds …";
  const count = screens[number].scores.length + 1;
  const sounds = await Promise.all(Array.from({ length: count }, (_, i) => sound(number, i)));
  if (shown !== number) return; // the listener was faster
  player.load(sounds);
  loaded = true;
  at("status").textContent = "";
  choose(0, false);
  enable();
}

async function sound(screen, number) {
  const answer = await ask(`/sounds/${session}/${screen}/${number}`);
  return player.context.decodeAudioData(await answer.arrayBuffer());
}

function row(score, i) {
  const number = i + 1;
  const item = document.createElement("li");
  item.innerHTML = `
    <button class="choice" aria-pressed="false" aria-label="Version ${number}">${number}</button>
    <input type="range" min="0" max="100" value="${score ?? 50}" aria-label="Rating of version ${number}">
    <output></output>`;
  const slider = item.querySelector("input");
  item.querySelector("button").onclick = () => press(number);
  slider.onfocus = () => player.chosen !== number && choose(number); // one rates what one hears
  slider.oninput = () => {
    screens[shown].scores[i] = Number(slider.value);
    unsaved = shown > 0;
    describe(item, screens[shown].scores[i]);
    enable();
  };
  slider.onchange = () => save();
  describe(item, score);
  return item;
}

function describe(item, score) {
  const rated = score !== null;
  const slider = item.querySelector("input");
  slider.classList.toggle("unrated", !rated);
  slider.setAttribute("aria-valuetext", rated ? `${score}, ${LABELS[Math.min(4, Math.floor(score / 20))]}` : "not rated");
  item.querySelector("output").textContent = rated ? score : "–";
}

// What can be done now; which versions still wait for a rating.
function enable() {
  const missing = screens[shown].scores.flatMap((score, i) => (score === null ? [i + 1] : []));
  at("next").disabled = !loaded || (shown > 0 && missing.length > 0);
  for (const control of document.querySelectorAll(".transport button, .choice, #conditions input")) {
    control.disabled = !loaded;
  }
  if (loaded && shown > 0 && missing.length) at("status").textContent = `Not yet rated: ${missing.join(", ")}`;
}

function choose(number, play = true) {
  player.choose(number);
  const choices = [at("reference"), ...at("conditions").querySelectorAll("button")];
  choices.forEach((button, i) => button.setAttribute("aria-pressed", i === number));
  if (play) start();
}

// A click on the version that plays pauses it.
function press(number) {
  if (player.playing && player.chosen === number) player.pause();
  else choose(number);
}

function start() {
  player.context.resume(); // a browser lets no page make a sound before it was touched
  player.play();
}

function toggle() {
  if (player.playing) player.pause();
  else start();
}

function repeat(from, to) {
  if (to - from >= SHORTEST) player.repeat(from, to);
}

// Where we are in the clip, again and again.
function draw() {
  const share = (seconds) => `${(100 * seconds) / (player.duration || 1)}%`;
  at("needle").style.left = share(player.position);
  at("part").style.left = share(player.from);
  at("part").style.right = share(player.duration - player.to);
  const label = player.playing ? "Pause" : "Play";
  if (at("play").getAttribute("aria-label") !== label) {
    at("play").setAttribute("aria-label", label);
    at("icon").setAttribute("d", player.playing ? PAUSE : PLAY);
  }
  requestAnimationFrame(draw);
}

// One request after the other, so that the newest ratings arrive last.
function save(done = false) {
  if (shown === 0) return;
  const number = shown;
  unsaved = true;
  saving = saving.then(() => send(number, done));
  return saving;
}

// Until the server has them.
async function send(number, done) {
  const screen = screens[number];
  while (true) {
    unsaved = false;
    try {
      await ask(`/sessions/${session}`, { screen: number, scores: screen.scores, done });
      break;
    } catch (error) {
      if (error.status < 500) throw error; // the server knows us no more, and never will
      unsaved = true;
      trouble(`Your last rating is not saved yet (${error.message.trim()}). Trying again …`);
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
  at("trouble").hidden = true;
  screen.done ||= done;
  if (shown === number && screen.scores.every((score) => score !== null)) at("status").textContent = "Saved";
}

function saveAtOnce() {
  if (unsaved) ask(`/sessions/${session}`, { screen: shown, scores: screens[shown].scores, done: false }).catch(() => {});
}

async function next() {
  player.pause();
  loaded = false;
  enable();
  await save(true);
  if (shown + 1 < screens.length) show(shown + 1);
  else finish();
}

function finish() {
  player.load([]);
  turnTo("end", "#end");
}

function again() {
  localStorage.removeItem(STORED);
  history.replaceState(null, "", location.pathname);
  location.reload();
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = false;
}

function onKey(event) {
  if (at("rating").hidden || !loaded || event.ctrlKey || event.altKey || event.metaKey) return;
  const number = /^[0-9]$/.test(event.key) ? Number(event.key) : NaN;
  if (number < screens[shown].scores.length + 1) {
    choose(number);
    if (number) at("conditions").children[number - 1].querySelector("input").focus();
    else at("reference").focus();
  } else if (event.key === " " && !event.target.closest("button")) toggle();
  else if (event.key === "[") repeat(player.position, player.to);
  else if (event.key === "]") repeat(player.from, player.position);
  else if (event.key === "\\") repeat(0, player.duration);
  else return;
  event.preventDefault();
}

at("start").onsubmit = begin;
at("play").onclick = toggle;
at("reference").onclick = () => press(0);
at("from").onclick = () => repeat(player.position, player.to);
at("to").onclick = () => repeat(player.from, player.position);
at("whole").onclick = () => repeat(0, player.duration);
at("next").onclick = next;
at("back").onclick = () => show(shown - 1);
at("review").onclick = () => show(screens.length - 1);
at("again").onclick = again;
document.addEventListener("keydown", onKey);
addEventListener("pagehide", saveAtOnce);
addEventListener("unhandledrejection", (event) => trouble(`Something went wrong: ${event.reason.message.trim()}. Reload the page.`));
at("icon").setAttribute("d", PLAY);
draw();
enter();
