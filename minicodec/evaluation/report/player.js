"use strict";

// All versions of a clip start at the same moment of one clock and loop together; a switch turns one volume up and
// another down. So there is one position, and nothing has to be kept in step.

const FADE = 0.005; // seconds; a hard switch would click
const cards = [...document.querySelectorAll(".card")];
let context = null; // browsers want a click before there may be sound
let active = null; // the player that keys go to

class Player {
  constructor(card) {
    this.card = card;
    this.tiles = [...card.querySelectorAll(".tile")];
    this.playButton = card.querySelector(".play");
    this.slider = card.querySelector("input");
    this.output = card.querySelector("output");
    this.seconds = parseFloat(this.output.textContent.split("/")[1]);
    this.chosen = 0;
    this.position = 0; // seconds, while it does not play
    this.sources = null; // while it plays
    this.playButton.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.seek(this.slider.value * this.seconds));
    this.tiles.forEach((tile, i) => tile.addEventListener("click", () => this.choose(i)));
    card.addEventListener("focusin", () => activate(this));
    card.addEventListener("pointerdown", () => activate(this));
  }

  async load() {
    const sounds = JSON.parse(this.card.querySelector("script").textContent);
    const decode = (sound) => context.decodeAudioData(Uint8Array.from(atob(sound), (c) => c.charCodeAt(0)).buffer);
    this.buffers = await Promise.all(sounds.map(decode));
    this.seconds = this.buffers[0].duration;
  }

  async toggle() {
    if (this.sources) return this.stop();
    if (this.loading) return;
    this.loading = true;
    this.playButton.textContent = "…";
    try {
      context ??= new AudioContext();
      await context.resume();
      if (!this.buffers) await this.load();
      players.forEach((player) => player.stop());
      this.start();
    } catch (error) {
      this.playButton.textContent = "play";
      this.output.textContent = `cannot be played here: ${error.message}`;
    } finally {
      this.loading = false;
    }
  }

  start() {
    const when = context.currentTime + 0.02; // a little later, so that all begin in time
    this.gains = this.buffers.map((_, i) => {
      const gain = new GainNode(context, { gain: i === this.chosen ? 1 : 0 });
      gain.connect(context.destination);
      return gain;
    });
    this.sources = this.buffers.map((buffer, i) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: true });
      source.connect(this.gains[i]);
      source.start(when, this.position);
      return source;
    });
    this.zero = when - this.position;
    this.playButton.textContent = "stop";
    this.draw();
  }

  stop() {
    if (!this.sources) return;
    this.position = this.now();
    this.sources.forEach((source) => source.stop());
    this.gains.forEach((gain) => gain.disconnect());
    this.sources = null;
    this.playButton.textContent = "play";
    this.show();
  }

  now() {
    return this.sources ? Math.max(0, context.currentTime - this.zero) % this.seconds : this.position;
  }

  seek(seconds) {
    const playing = this.sources !== null;
    this.stop();
    this.position = Math.min(Math.max(seconds, 0), this.seconds - 0.01);
    if (playing) this.start();
    this.show();
  }

  choose(i) {
    if (i >= this.tiles.length) return;
    if (this.sources) {
      const now = context.currentTime;
      this.gains[this.chosen].gain.setTargetAtTime(0, now, FADE);
      this.gains[i].gain.cancelScheduledValues(now).setTargetAtTime(1, now, FADE);
    }
    this.chosen = i;
    this.tiles.forEach((tile, j) => tile.setAttribute("aria-pressed", String(i === j)));
  }

  draw() {
    if (!this.sources) return;
    this.show();
    requestAnimationFrame(() => this.draw());
  }

  show() {
    const at = this.now() / this.seconds;
    this.slider.value = at;
    this.card.style.setProperty("--at", at);
    this.output.textContent = `${this.now().toFixed(1)} / ${this.seconds.toFixed(1)} s`;
  }
}

const players = cards.map((card) => new Player(card));

function activate(player) {
  active = player;
  players.forEach((other) => other.card.classList.toggle("active", other === player));
}

function onKey(event) {
  if (!players.length || event.ctrlKey || event.altKey || event.metaKey) return false;
  const target = event.target.closest("button, input, summary, .scroll");
  const inside = event.target.closest(".card") !== null;
  if (target && !inside) return false; // the table's keys are its own
  const player = active ?? players[0];
  const key = event.key;
  if (key === " ") player.toggle();
  else if (/^[0-9]$/.test(key)) player.choose(key === "0" ? 9 : Number(key) - 1);
  else if (key === "ArrowLeft" || key === "ArrowRight") player.seek(player.now() + (key === "ArrowLeft" ? -1 : 1));
  else if (inside && (key === "ArrowUp" || key === "ArrowDown")) {
    const next = players[players.indexOf(player) + (key === "ArrowUp" ? -1 : 1)];
    if (!next) return false;
    player.stop();
    next.card.focus({ preventScroll: true });
    next.card.scrollIntoView({ block: "nearest" });
  } else return false;
  if (!active) activate(player);
  return true;
}

document.addEventListener("keydown", (event) => onKey(event) && event.preventDefault());
document.addEventListener("keyup", (event) => {
  if (event.key === " " && event.target.closest(".card button")) event.preventDefault(); // else it clicks in Firefox
});

// The table: a click sorts, another one turns the order round. What has no figure stays last.

document.querySelectorAll("th button").forEach((button, column) => {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const body = heading.closest("table").tBodies[0];
    const value = (row) => {
      const cell = row.cells[column];
      if (!cell) return NaN; // beyond the cell that says why there are no figures
      return cell.dataset.v === undefined && column > 1 ? NaN : cell.dataset.v ?? cell.textContent;
    };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (column < 2) return (up ? 1 : -1) * x.localeCompare(y);
      const [p, q] = [Number(x), Number(y)];
      return Number(isNaN(p)) - Number(isNaN(q)) || (up ? p - q : q - p) || 0;
    };
    body.append(...[...body.rows].sort(compare));
    heading.parentElement.querySelectorAll("th").forEach((th) => th.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
});
