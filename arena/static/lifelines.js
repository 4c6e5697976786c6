// Lifelines: what happened on several servers, drawn as a bar for each process and each client.
//
//   const lifelines = new Lifelines(document.querySelector("#lanes"));
//   lifelines.load(events);   // a recording: a list of events, as arena/recording.py saves it
//   lifelines.play();         // pause(), step(seconds) and again() do what their names say
//
// Its words are those of words.js, in the language of the document. Nothing here knows of a server.
// Times are seconds since the arena began; lengths are pixels.
"use strict";

const SHORTEST = 10; // seconds that the window shows at first
const LONGEST = 60; // seconds to which it grows
const FOREVER = 1e5; // seconds that a bar without an end is long; the plot's edge cuts it off
const FRAME = 1 / 31; // seconds between two drawings, at least
const BAR = 1.75; // the height of a row where there is room, in sizes of the letters
const DENSE = 4; // below this height of a row, bars touch each other
const ENDS = ["gone", "answered", "failed"];

// What happened in one lane: lives, each with its states, and what was counted and said.
class Lane {
  constructor(info) {
    this.info = info;
    this.lives = []; // in the order in which they began
    this.last = new Map(); // the last life of each process and client
    this.numbers = [];
    this.server = [];
  }

  add(event) {
    if (event.kind === "numbers" || event.kind === "server") {
      this[event.kind].push(event);
      return;
    }
    const key = `${event.kind} ${event.pid ?? event.id}`;
    let life = this.last.get(key);
    const ends = ENDS.includes(event.state);
    if (!life || life.end < Infinity) {
      if (ends) return; // the end of a life that nobody saw
      life = { ...event, key, begin: event.t, end: Infinity, states: [] };
      this.last.set(key, life);
      this.lives.push(life);
    }
    life.states.push(event);
    if (ends) life.end = event.t;
  }

  // Forget what ended before a time.
  forget(before) {
    this.lives = this.lives.filter((life) => life.end >= before);
    for (const [key, life] of this.last) if (life.end < before) this.last.delete(key);
    for (const past of [this.numbers, this.server]) {
      while (past.length > 1 && past[1].t < before) past.shift();
    }
  }
}

// Return the last event of a list that had happened at a time.
function at(events, t) {
  return events.findLast((event) => event.t <= t);
}

// Add an element with these attributes, and with a text if one is given.
function make(parent, name, attributes = {}, text = "") {
  const space = name === "svg" ? "http://www.w3.org/2000/svg" : parent.namespaceURI;
  const element = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

// Return what the arena says, such as the claim of a lane, in the language of the words.
function translate(text, words) {
  return words.said.reduce((now, [english, own]) => now.replace(english, own), text);
}

// Change an attribute, or the text where the name is "text", only if it is another one.
function set(element, name, value) {
  const text = String(value);
  if (name === "text") {
    if (element.textContent !== text) element.textContent = text;
  } else if (element.getAttribute(name) !== text) {
    element.setAttribute(name, text);
  }
}

// The picture of one lane. Its elements are changed while time goes on, and never built again.
class LaneView {
  constructor(parent, lane, words, redraw) {
    const { info } = lane;
    this.lane = lane;
    this.words = words;
    const id = `lane-${info.lane}`;
    const attributes = { class: "lane", "data-lane": info.lane, "aria-labelledby": id };
    this.element = make(parent, "section", attributes);
    const banner = make(this.element, "header");
    const heading = make(banner, "h2", { id });
    make(heading, "b", {}, translate(info.title, words));
    heading.append(" "); // else the two are read as one word
    make(heading, "span", { class: "claim" }, translate(info.claim, words));
    this.ended = make(banner, "p", { class: "ended", role: "status" });
    this.twin = make(banner, "p", { class: "twin" });
    if (!info.available) {
      set(this.twin, "text", translate(info.why, words));
      this.element.classList.add("missing");
      return;
    }
    this.plot = make(this.element, "div", { class: "plot" });
    this.svg = make(this.plot, "svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
    this.frame = make(this.svg, "svg", { class: "frame" }); // cuts off what lies outside
    this.grid = make(this.frame, "g", { class: "grid" });
    this.bands = [
      this.makeBand("client", words.clients, ["waits", "served", "answered", "failed"]),
      this.makeBand("process", words.processes, ["works", "zombie"]),
    ];
    this.labels = make(this.svg, "g", { class: "labels" });
    this.crowds = {}; // each has the label of many who do the same
    this.last = make(this.plot, "p", { class: "last", lang: "en" }); // of a server that has ended
    const numbers = make(this.element, "dl", { class: "numbers" });
    this.numbers = Object.entries(words.numbers).map(([key, name]) => {
      const box = make(numbers, "div", { class: key });
      make(box, "dt", {}, name);
      return { key, box, value: make(box, "dd") };
    });
    this.details = make(banner, "details");
    make(this.details, "summary", {}, words.each);
    this.list = make(this.details, "ul", { tabindex: 0, "aria-label": words.each });
    new ResizeObserver(() => {
      this.measure();
      redraw();
    }).observe(this.plot);
    this.measure();
  }

  makeBand(kind, name, states) {
    const bars = make(this.frame, "g", { class: "bars" });
    const paths = {};
    for (const state of states) {
      paths[state] = make(bars, "path", { class: state, "vector-effect": "non-scaling-stroke" });
    }
    return { kind, bars, paths, name: make(this.svg, "text", { class: "band" }, name) };
  }

  measure() {
    const style = getComputedStyle(this.svg);
    this.size = parseFloat(style.fontSize);
    this.line = this.size * 1.15;
    this.left = parseFloat(style.getPropertyValue("--left")) * this.size;
    this.width = this.plot.clientWidth;
    this.right = this.width - parseFloat(style.getPropertyValue("--right")) * this.size;
    this.height = this.plot.clientHeight;
    if (!this.height) return; // the lane is hidden
    set(this.svg, "viewBox", `0 0 ${this.width} ${this.height}`); // paper may have another size
    set(this.frame, "x", this.left);
    set(this.frame, "width", Math.max(1, this.right - this.left));
    set(this.frame, "height", this.height);
    for (const band of this.bands) band.pitch = null; // do not glide from the old size
  }

  // Draw what was at a time, in a window of so many seconds. Rows glide to their places, or not.
  draw(t, span, ticks, still) {
    if (!this.height) return;
    const seen = this.lane.lives.filter((life) => life.begin <= t && life.end > t - span);
    const isServer = ({ role }) => role === "server";
    seen.sort((one, other) => one.begin - other.begin || isServer(other) - isServer(one));
    for (const life of seen) life.now = at(life.states, t);
    this.drawBars(seen, t, span, still);
    this.drawLabels(seen, t);
    this.drawGrid(span, ticks);
    this.tell(seen, t);
  }

  drawBars(seen, t, span, still) {
    const scale = (this.right - this.left) / span;
    this.x = (when) => this.right - (t - when) * scale;
    const rows = this.bands.map(({ kind }) => seen.filter((life) => life.kind === kind));
    const gap = this.size * 0.7;
    const room = this.height - 3 * gap;
    const tallest = Math.max(BAR * this.size, this.height / 12);
    // Where rows are thin, those of processes are twice as high: zombies are seen from afar.
    const same = room / Math.max(1, seen.length);
    const thin = room / (rows[0].length + 2 * rows[1].length);
    const pitches = same > this.line * 0.6 ? [same, same] : [thin, 2 * thin];
    let top = gap;
    this.bands.forEach((band, number) => {
      const pitch = Math.min(pitches[number], tallest);
      const near = still || !band.pitch || Math.abs(pitch - band.pitch) < 0.02;
      band.pitch = near ? pitch : band.pitch + (pitch - band.pitch) / 4;
      band.top = top;
      rows[number].forEach((life, row) => (life.row = row));
      this.drawBand(band, rows[number]);
      const x = (this.right - this.left - t * scale).toFixed(2);
      const size = `${scale.toFixed(4)} ${band.pitch.toFixed(4)}`;
      set(band.bars, "transform", `translate(${x} ${top.toFixed(2)}) scale(${size})`);
      set(band.name, "x", this.left - this.size * 0.6);
      set(band.name, "y", Math.min(top + this.size, this.height - this.size * 0.3));
      top += Math.max(rows[number].length * band.pitch, this.line) + gap;
    });
  }

  // Draw a bar for each state of each life, in seconds and rows: one path for all bars of a colour.
  // While nothing happens, time moves them by the transform alone.
  drawBand(band, lives) {
    const dense = band.pitch < DENSE;
    const key = `${lives.map((life) => `${life.key} ${life.states.length}`)} ${dense}`;
    if (band.drawn === key) return;
    band.drawn = key;
    const high = dense ? 1 : 0.8; // dense bars touch each other
    const paths = Object.fromEntries(Object.keys(band.paths).map((state) => [state, ""]));
    for (const { states, role, row } of lives) {
      states.forEach(({ t, state }, number) => {
        const wide = (states[number + 1]?.t ?? t + FOREVER) - t;
        if (state === "answered" || state === "failed") paths[state] += `M${t} ${row}v${high}`;
        else if (state === "gone") return;
        else if (role === "server" && !dense) {
          paths.works += `M${t} ${row + 0.2}h${wide}v0.4h${-wide}z`; // a server is a thin bar
        } else paths[state] += `M${t} ${row}h${wide}v${high}h${-wide}z`;
      });
    }
    for (const [state, path] of Object.entries(paths)) set(band.paths[state], "d", path);
    band.bars.classList.toggle("dense", dense);
  }

  // Write beside each bar who it is and what it does: at "now" while it lives, else after its end.
  // Where there is no room for all, one label counts those of a kind that do the same.
  drawLabels(seen, t) {
    const { line } = this;
    const most = Math.floor(this.height / line);
    const band = ({ kind }) => this.bands[kind === "client" ? 0 : 1];
    const middle = (life) => band(life).top + (life.row + 0.4) * band(life).pitch;
    const crowds = {};
    for (const life of seen) if (life.end > t) (crowds[this.does(life)] ??= []).push(life);
    const sizes = Object.values(crowds).map(({ length }) => length);
    const fits = (limit) => sizes.reduce((sum, size) => sum + (size > limit ? 1 : size), 0) <= most;
    const limit = [Infinity, 3, 2].find(fits) ?? 1;
    const places = [];
    for (const [what, lives] of Object.entries(crowds)) {
      if (lives.length > limit) {
        const y = (middle(lives[0]) + middle(lives.at(-1))) / 2;
        const text = this.words.crowd[what](lives.length);
        places.push({ what, of: (this.crowds[what] ??= {}), y, to: y, text });
      } else {
        for (const life of lives) {
          const y = middle(life);
          places.push({ what, of: life, y, to: y, text: this.describe(life, t) });
        }
      }
    }
    places.sort((one, other) => one.y - other.y);
    let free = line / 2;
    for (const place of places) {
      place.to = Math.max(place.to, free);
      free = place.to + line;
    }
    free = this.height - line / 2;
    for (const place of [...places].reverse()) {
      place.to = Math.min(place.to, free);
      free = place.to - line;
    }
    const used = new Set();
    for (const place of places) used.add(this.drawLabel(place, this.right));
    for (const life of seen) {
      const { pitch } = band(life);
      if (life.end > t || pitch < this.size * 0.85) continue;
      const y = middle(life);
      const place = { what: life.now.state, of: life, y, to: y, text: this.describe(life, t) };
      used.add(this.drawLabel(place, this.x(life.end)));
    }
    for (const label of [...this.labels.children]) if (!used.has(label)) label.remove();
  }

  // Draw one label, and return its element. It stays the same one, so its text can be selected.
  drawLabel({ what, of, y, to, text }, x) {
    if (!of.label?.isConnected) of.label = this.makeLabel(of.kind ? this.name(of) : "");
    const [leader, written] = of.label.children;
    const em = this.size;
    set(of.label, "class", what);
    set(leader, "points", Math.abs(to - y) > 2 ? `${x + 2},${y} ${x + em * 0.5},${to}` : "");
    set(written.lastChild, "text", of.kind ? ` ${text}` : text);
    const most = what === "failed" ? this.width - written.getComputedTextLength() : Infinity;
    set(written, "x", Math.min(x + em * 0.7, most).toFixed(1)); // a failure has long words
    set(written, "y", (to + em * 0.35).toFixed(1));
    return of.label;
  }

  makeLabel(name) {
    const label = make(this.labels, "g");
    make(label, "polyline");
    const text = make(label, "text");
    make(text, "tspan", { class: "name" }, name);
    make(text, "tspan", name ? {} : { class: "name" });
    return label;
  }

  // What one does who lives: its state, but the server is by itself.
  does({ role, now }) {
    return role === "server" && now.state === "works" ? "server" : now.state;
  }

  name(life) {
    return life.kind === "process" ? String(life.pid) : `${this.words.what[life.what]} ${life.id}`;
  }

  // Say in words what a life does at a time, and for how long.
  describe(life, t) {
    const { words } = this;
    const { state } = life.now;
    if (state === "gone") return "";
    if (this.does(life) === "server") return words.server;
    const said = state === "failed" && translate(life.now.words, words);
    const since = ENDS.includes(state) ? life.end - life.begin : t - life.now.t;
    return `${words[state]} ${said || words.clock(since)}`;
  }

  drawGrid(span, ticks) {
    const wide = this.right - this.left;
    while (this.grid.children.length < ticks.length) make(this.grid, "line", { y1: 0, y2: 5000 });
    [...this.grid.children].forEach((line, number) => {
      const x = number < ticks.length ? wide - (ticks[number] / span) * wide : -9;
      set(line, "x1", x.toFixed(1));
      set(line, "x2", x.toFixed(1));
    });
  }

  // Say the same in numbers and in a sentence.
  tell(seen, t) {
    const { words } = this;
    const numbers = at(this.lane.numbers, t);
    for (const { key, box, value } of this.numbers) {
      const count = numbers?.[key] ?? null;
      set(value, "text", count ?? words.unknown);
      box.classList.toggle("some", count > 0);
    }
    const server = at(this.lane.server, t);
    const [how, ...last] = (server?.words ?? "").split("\n");
    set(this.ended, "text", words.ended[server?.state]?.(translate(how, words)) ?? "");
    set(this.last, "text", last.join("\n"));
    set(this.twin, "text", this.sentence(seen, t));
    if (this.details.open) this.tellEach(seen, t);
  }

  sentence(seen, t) {
    const { words } = this;
    const of = (state) =>
      seen.filter((life) => life.end > t && life.now.state === state && life.role !== "server");
    const [zombies, waiting] = [of("zombie"), of("waits")];
    const [served, work] = [of("served"), of("works")];
    const parts = [];
    if (zombies.length) parts.push(words.zombies(zombies.length));
    if (waiting.length) {
      const longest = Math.floor(t - Math.min(...waiting.map((life) => life.begin)));
      parts.push(words.waiting(waiting.length, longest));
    }
    if (served.length) parts.push(words.serving(served.length));
    if (work.length) parts.push(words.working(work.length));
    return parts.join(words.comma) || words.quiet;
  }

  // Keep a list with an item for each life, in the order in which they began.
  tellEach(seen, t) {
    const items = seen.map((life) => {
      if (!life.item) {
        life.item = make(this.list, "li");
        make(life.item, "span", { class: "name" }, this.name(life));
        make(life.item, "span");
      }
      set(life.item.lastChild, "text", ` ${this.describe(life, t)}`);
      return life.item;
    });
    const wanted = new Set(items);
    for (const item of [...this.list.children]) if (!wanted.has(item)) item.remove();
    items.forEach((item, place) => {
      const there = this.list.children[place];
      if (there !== item) this.list.insertBefore(item, there);
    });
  }
}

// All lanes of a recording, or of an arena that runs, at one time: this.t.
class Lifelines {
  constructor(parent) {
    this.words = WORDS[document.documentElement.lang] ?? WORDS.en;
    this.lanes = make(parent, "div", { class: "lanes" });
    const axis = make(parent, "div", { class: "axis", "aria-hidden": "true" });
    this.axis = make(axis, "svg", { preserveAspectRatio: "none" });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.ondraw = () => {}; // called after each drawing
    this.clear();
    requestAnimationFrame((when) => this.run(when));
  }

  // Forget all.
  clear() {
    this.views = new Map(); // by the name of the lane
    this.lanes.replaceChildren();
    this.hello = null;
    this.newest = 0; // the time of the youngest event
    this.begins = []; // times at which somebody came after a minute without clients
    this.guests = new Set(); // the clients that are there
    this.active = -Infinity; // when a client was last seen to do something
    this.t = 0;
    this.paused = true;
    this.live = null; // what "behind" is for the "now" of an arena that runs; null: a recording
    this.behind = 0; // t is performance.now() / 1000 less this, while it plays
    this.again = false; // whether what is seen has happened before
  }

  // Note a list of events.
  add(events) {
    for (const event of events) {
      if (event.kind === "hello") this.greet(event);
      else if (this.views.has(event.lane)) this.note(event);
    }
  }

  // A "hello" comes before all that is known, so what was known before goes.
  greet(hello) {
    this.clear();
    this.hello = hello;
    for (const info of hello.lanes) {
      const view = new LaneView(this.lanes, new Lane(info), this.words, () => this.draw());
      this.views.set(info.lane, view);
    }
  }

  note(event) {
    this.views.get(event.lane).lane.add(event);
    this.newest = Math.max(this.newest, event.t);
    if (event.kind !== "client") return;
    const key = `${event.lane} ${event.id}`;
    if (event.t - this.active > LONGEST && !this.guests.size) this.begins.push(event.t);
    this.active = Math.max(this.active, event.t);
    if (ENDS.includes(event.state)) this.guests.delete(key);
    else this.guests.add(key);
  }

  // Show a recording, and stand still at its begin.
  load(events) {
    this.add(events);
    const times = events.filter(({ kind }) => kind === "client").map(({ t }) => t);
    this.newest = Math.max(this.newest, this.hello.now);
    this.first = Math.max(this.newest - LONGEST, Math.min(...times, this.newest) - 1);
    this.t = this.first;
    this.draw();
  }

  // Follow an arena that runs. Its time is "now" at this moment, and is drawn so much later.
  follow(now, lag) {
    const first = this.live === null;
    this.live = performance.now() / 1000 - now + lag;
    if (first || !this.paused) this.play();
  }

  // Go on: from here in a recording, or anew at its end, and with what is now in an arena that runs.
  play() {
    if (this.live === null && this.t >= this.newest) this.t = this.first;
    const here = performance.now() / 1000 - this.t;
    this.behind = this.again ? here : (this.live ?? here);
    this.paused = false;
    this.ondraw();
  }

  pause() {
    this.paused = true;
    this.draw();
  }

  // Pause, and go so many seconds forward or, if they are negative, back.
  step(seconds) {
    this.t = Math.min(Math.max(this.t + seconds, this.oldest()), this.end());
    this.pause();
  }

  oldest() {
    return this.live === null ? this.first : Math.max(0, this.end() - LONGEST);
  }

  end() {
    return this.live === null ? this.newest : performance.now() / 1000 - this.live;
  }

  // Show the last minute again, from the first client on; or, if it is on, stop that.
  repeat() {
    this.again = !this.again || this.live === null;
    if (this.again) this.t = Math.max(this.oldest(), (this.begin(this.end()) ?? 0) - 1);
    this.play();
  }

  run(when) {
    requestAnimationFrame((next) => this.run(next));
    const wait = this.still.matches ? 0.5 : FRAME;
    if (this.paused || when / 1000 - this.drawn < wait) return;
    this.drawn = when / 1000;
    this.t = Math.min(when / 1000 - this.behind, this.end());
    this.draw();
    if (this.live === null && this.t >= this.newest) this.pause();
    this.forget();
  }

  forget() {
    if (this.live === null) return;
    const before = Math.min(this.t, this.newest - LONGEST) - LONGEST;
    for (const { lane } of this.views.values()) lane.forget(before);
  }

  // When did the first client come of those that have come since there was a pause?
  begin(t) {
    return this.begins.findLast((begin) => begin <= t);
  }

  // Draw all lanes at this.t.
  draw() {
    const still = this.paused || this.still.matches;
    const begin = this.begin(this.t) ?? this.t;
    const span = Math.min(Math.max(this.t - begin + 1, SHORTEST), LONGEST);
    const near = still || !this.span || Math.abs(span - this.span) < 0.2;
    this.span = near ? span : this.span + (span - this.span) / 5;
    const ticks = this.drawAxis();
    for (const view of this.views.values()) view.draw(this.t, this.span, ticks, still);
    this.ondraw();
  }

  // Say which time is seen.
  moment() {
    if (this.live === null) return this.words.of(this.t - this.first, this.newest - this.first);
    const ago = this.end() - this.t;
    return ago < 0.1 ? this.words.now : this.words.ago(ago);
  }

  // Write how long ago each line of the grid is, and return these numbers of seconds.
  drawAxis() {
    const view = [...this.views.values()].find(({ height }) => height);
    if (!view) return [];
    set(this.axis, "viewBox", `0 0 ${view.width} ${view.size * 1.5}`);
    const wide = view.right - view.left;
    const fits = (step) => (step / this.span) * wide > view.size * 6;
    const apart = [1, 2, 5, 10, 20, 30].find(fits) ?? 60;
    const ticks = [];
    for (let ago = 0; ago < this.span; ago += apart) ticks.push(ago);
    while (this.axis.children.length < ticks.length) make(this.axis, "text");
    [...this.axis.children].forEach((text, number) => {
      const ago = ticks[number];
      const x = number < ticks.length ? view.right - (ago / this.span) * wide : -999;
      set(text, "x", x.toFixed(1));
      set(text, "y", view.size);
      set(text, "text", ago ? this.words.earlier(ago) : this.moment());
    });
    return ticks;
  }
}
