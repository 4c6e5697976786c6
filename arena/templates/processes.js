"use strict";

const POLL = 1000; // milliseconds from one answer to the next question
const PATIENCE = 1500; // milliseconds after which the page says that it waits
const SPAN = 60; // seconds that the chart shows

const pause = document.getElementById("pause");
const past = []; // what each answer said: when, atWork, zombies
let paused = false;

// Ask for this page again, and put the parts of it that are live in place of the old ones.
async function refresh() {
  const asked = Date.now();
  const patience = setInterval(() => {
    const waited = Date.now() - asked;
    const seconds = Math.round(waited / 1000);
    if (waited > PATIENCE) say("waiting", "This page waits for the server:", ` ${seconds} s`);
  }, 250);
  try {
    const answer = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const part = fresh.getElementById(old.id);
      Object.assign(old.dataset, part.dataset);
      old.replaceChildren(...part.childNodes);
    }
    document.title = fresh.title;
    draw();
    say("waiting", "");
  } catch (error) {
    say("waiting", "No answer. Has the server ended?");
  }
  clearInterval(patience);
}

// Show a text in one of the two places for messages. What follows it is not read aloud.
function say(place, text, more = "") {
  const [words, rest] = document.getElementById(place).children;
  if (words.textContent !== text) words.textContent = text;
  rest.textContent = more;
}

// Note the counts of now, and draw those of the last minute.
function draw() {
  const { atWork, zombies } = document.getElementById("counts").dataset;
  const now = Date.now() / 1000;
  past.push({ when: now, atWork: Number(atWork), zombies: Number(zombies) });
  while (past[0].when < now - SPAN) past.shift();
  const most = Math.max(5, ...past.map((seen) => Math.max(seen.atWork, seen.zombies)));
  const x = (when) => 430 - ((now - when) / SPAN) * 390;
  const y = (count) => 235 - (count / most) * 215;
  const svg = document.querySelector("#chart svg");
  svg.replaceChildren();
  for (const count of [0, most]) {
    add(svg, "line", { x1: 40, x2: 430, y1: y(count), y2: y(count) });
    add(svg, "text", { x: 32, y: y(count) + 5, "text-anchor": "end" }, count);
  }
  add(svg, "text", { x: 40, y: 260 }, `${SPAN} seconds ago`);
  add(svg, "text", { x: 430, y: 260, "text-anchor": "end" }, "now");
  const lines = [["zombies", "zombies"], ["atWork", "at work"]];
  lines.sort(([one], [other]) => past.at(-1)[other] - past.at(-1)[one]); // the higher one first
  let above = 0; // where the name above stands: two names must not overlap
  for (const [key, name] of lines) {
    const points = past.map((seen) => `${x(seen.when).toFixed(1)},${y(seen[key]).toFixed(1)}`);
    add(svg, "polyline", { class: key, points: points.join(" ") });
    above = Math.max(y(past.at(-1)[key]) + 5, above + 18);
    add(svg, "text", { class: key, x: 440, y: above }, `${past.at(-1)[key]} ${name}`);
  }
  const words = (key) => `from ${past[0][key]} to ${past.at(-1)[key]}`;
  document.getElementById("caption").textContent =
    `In the last ${Math.round(now - past[0].when)} seconds: ` +
    `zombies ${words("zombies")}, children at work ${words("atWork")}.`;
  document.getElementById("chart").hidden = false;
}

// Add an SVG element with these attributes, and with a text if one is given.
function add(parent, name, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  parent.append(element);
}

// Send a form without leaving the page, and show the answer. One request at a time for each form.
async function send(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true"; // unlike a disabled button, it keeps the focus
  const query = form.method === "get" ? `?${new URLSearchParams(new FormData(form))}` : "";
  say("message", `${button.textContent}: sent.`);
  try {
    const answer = await fetch(form.action + query, { method: form.method });
    say("message", await answer.text());
  } catch (error) {
    say("message", `${button.textContent}: no answer.`);
  }
  button.ariaDisabled = "false";
}

function togglePause() {
  paused = !paused;
  pause.setAttribute("aria-pressed", paused);
}

async function run() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL));
    if (!paused) await refresh();
  }
}

document.querySelectorAll("form").forEach((form) => form.addEventListener("submit", send));
pause.addEventListener("click", togglePause);
pause.hidden = false;
draw();
run();
