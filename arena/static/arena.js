// The page of the arena: its stream of events, its buttons and their keys. lifelines.js draws.
"use strict";

const LAG = 0.25; // seconds behind "now" that are drawn, so that all that happened before is known
const STEP = 0.5; // seconds that Back and Step go
const RETRY = 1000; // milliseconds until a stream that the browser has given up is tried again
const LANGUAGES = Object.keys(WORDS);

const find = (id) => document.getElementById(id);
document.documentElement.lang = wishedLanguage();
const lifelines = new Lifelines(find("arena"));
const narrow = matchMedia("(max-width: 44rem)");
const choice = find("choice");
const words = lifelines.words.page;
let shown = new Set(); // the names of the lanes that are seen
let broken = false; // whether the arena does not answer

// Return the language that the address names, else the first that the browser wishes and we have.
function wishedLanguage() {
  const wishes = [new URLSearchParams(location.search).get("lang"), ...navigator.languages];
  const has = (wish) => (language) => language.slice(0, 2) === wish?.slice(0, 2);
  return wishes.map((wish) => LANGUAGES.find(has(wish))).find(Boolean) ?? "en";
}

// Write all words of the page; some have numbers of the arena's first event.
function label(hello) {
  document.title = words.title;
  for (const place of document.querySelectorAll("[data-word]")) {
    const text = words[place.dataset.word];
    set(place, "text", typeof text === "function" ? text(hello) : text);
  }
  for (const place of document.querySelectorAll("[data-label]")) {
    set(place, "aria-label", words[place.dataset.label]);
  }
}

function say(text) {
  if (find("message").textContent !== text) find("message").textContent = text;
}

// Say whether a button is on.
function tell(button, on) {
  button.setAttribute("aria-pressed", on);
}

// Follow the arena. What a broken stream missed comes when it is there again.
function listen() {
  const stream = new EventSource("/events");
  stream.onmessage = ({ data }) => {
    const events = JSON.parse(data);
    if (events[0].kind === "hello") greet(events);
    else lifelines.add(events);
    if (broken) say(words.returned);
    broken = false;
  };
  stream.onerror = () => {
    say(words.broken);
    broken = true;
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, RETRY);
  };
}

// Begin anew, with all that the arena knows: it runs, or it plays what it has saved.
function greet(events) {
  const hello = events[0];
  label(hello);
  for (const button of document.querySelectorAll("[data-do]")) button.disabled = hello.replay;
  find("save").hidden = hello.replay;
  if (hello.replay) {
    lifelines.load(events);
    lifelines.play();
    say(words.recording);
  } else {
    lifelines.add(events);
    lifelines.follow(hello.now, LAG);
  }
  if (choice.children.length !== hello.lanes.length) chooseLanes(hello.lanes);
  show();
}

// Make a button for each lane: it says whether the lane is seen, and so gets what is sent.
function chooseLanes(lanes) {
  const names = lanes.filter(({ available }) => available).map(({ lane }) => lane);
  const wanted = location.hash.slice(1).split(",").filter((name) => names.includes(name));
  shown = new Set(wanted.length ? wanted : narrow.matches ? names.slice(0, 1) : names);
  choice.replaceChildren();
  for (const { lane, title, available } of lanes) {
    const button = make(choice, "button", { "data-lane": lane });
    make(button, "span", {}, translate(title, lifelines.words));
    button.disabled = !available;
    button.addEventListener("click", () => choose(lane));
    const digit = title.match(/\d$/);
    if (digit) button.setAttribute("aria-keyshortcuts", digit[0]);
  }
}

// Show a lane, or hide it; on a narrow screen, show it alone. One of them is always seen.
function choose(lane) {
  if (narrow.matches) shown = new Set([lane]);
  else if (!shown.has(lane)) shown.add(lane);
  else if (shown.size > 1) shown.delete(lane);
  history.replaceState(null, "", `#${[...shown].join(",")}`);
  show();
}

function show() {
  for (const button of choice.children) tell(button, shown.has(button.dataset.lane));
  for (const [name, { element, lane }] of lifelines.views) {
    element.hidden = lane.info.available && !shown.has(name);
  }
}

// Ask the arena to do the same, at the same moment, in all lanes that are seen.
async function send(button) {
  lifelines.again = false;
  lifelines.play();
  const lanes = [...choice.children].filter(({ disabled }) => !disabled);
  const seen = lanes.filter(({ dataset }) => shown.has(dataset.lane));
  const all = seen.length === lanes.length;
  try {
    const answer = await fetch("/do", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ action: button.dataset.do, lane: all ? null : [...shown] }),
    });
    const where = all ? words.all : seen.map(({ innerText }) => innerText).join(words.and);
    say(answer.ok ? words.sent(button.firstElementChild.textContent, where) : words.refused);
  } catch {
    say(words.broken);
  }
}

// Press the button whose key is pressed; but a button that has the focus keeps its space key.
function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || !find("keys").checked) return;
  if (event.key === " " && event.target.closest("button, a, input, summary")) return;
  const key = event.key === " " ? "Space" : event.key;
  const button = document.querySelector(`[aria-keyshortcuts="${CSS.escape(key)}"]`);
  if (!button || (event.repeat && !button.matches("#back, #step"))) return;
  event.preventDefault();
  button.click();
}

function projector() {
  tell(find("projector"), document.documentElement.classList.toggle("projector"));
}

lifelines.ondraw = () => {
  const { again, live, paused } = lifelines;
  tell(find("again"), again && live !== null);
  find("pause").firstElementChild.textContent = paused ? words.play : words.pause;
};
find("pause").addEventListener("click", () => {
  if (lifelines.paused) lifelines.play();
  else lifelines.pause();
});
find("back").addEventListener("click", () => lifelines.step(-STEP));
find("step").addEventListener("click", () => lifelines.step(STEP));
find("again").addEventListener("click", () => lifelines.repeat());
find("projector").addEventListener("click", projector);
find("language").lang = LANGUAGES.find((language) => language !== document.documentElement.lang);
find("language").addEventListener("click", ({ target }) => {
  location.search = `lang=${target.lang}`; // the address keeps it, and the lanes that are shown
});
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => send(button));
}
document.addEventListener("keydown", press);
document.addEventListener("click", ({ target, detail }) => {
  if (detail) target.closest("button")?.blur(); // after a click, the space key is for Pause again
});
listen();
