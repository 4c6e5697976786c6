// What the book adds to its pages: figures that play, where each recording takes the place of its
// picture and gets buttons; what is too wide, which the keyboard can scroll; and where code may
// break: no option or short name does, and a long one does behind an underscore, a slash, a
// bracket, or the dot before a class.
"use strict";

const STEP = 0.5; // seconds that a step goes forward or back
const SHORT = 16; // letters of code, which stay on one line
const BUTTONS = {
  en: { play: "Play", pause: "Pause", back: "Step back", step: "Step", label: "Replay" },
  "zh-CN": { play: "播放", pause: "暂停", back: "后退", step: "前进", label: "回放" },
};

function show(figure) {
  const words = BUTTONS[document.documentElement.lang];
  const picture = figure.querySelector("img");
  const place = picture.closest("p") ?? picture;
  const screen = document.createElement("div");
  screen.className = "lifelines";
  place.replaceWith(screen);
  const lifelines = new Lifelines(screen);
  const bar = document.createElement("div");
  bar.className = "buttons";
  bar.role = "group";
  bar.ariaLabel = words.label;
  screen.append(bar);
  const add = (text, action) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", action);
    bar.append(button);
    return button;
  };
  const play = add(words.play, () => (lifelines.paused ? lifelines.play() : lifelines.pause()));
  add(words.back, () => lifelines.step(-STEP));
  add(words.step, () => lifelines.step(STEP));
  lifelines.ondraw = () => {
    const text = lifelines.paused ? words.play : words.pause;
    if (play.textContent !== text) play.textContent = text;
  };
  lifelines.load(JSON.parse(figure.querySelector("script").textContent));
  lifelines.step(Infinity); // as the picture shows it
}

function breakable(name) {
  return name.replace(/\w[_/(](?=\w)|\.(?=[A-Z])/g, "$&<wbr>");
}

addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.replay")) show(figure);
  for (const word of document.querySelectorAll("code .pre, .why code")) {
    const text = word.textContent;
    if (text.startsWith("-") || text.length <= SHORT) word.style.whiteSpace = "nowrap";
    else word.innerHTML = word.innerHTML.replace(/\S{21,}/g, breakable);
  }
  const wide = "pre, .table-wrapper, :is(p, .cell_output):has(> img)";
  for (const part of document.querySelectorAll(wide)) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
});

// A page that was opened as a file may not read others, so its search shows no excerpts of them.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
