// What the book adds to its pages: figures that play, where each recording takes the place of its
// picture and gets buttons; and what is too wide, which the keyboard can scroll.
"use strict";

const STEP = 0.5; // seconds that a step goes forward or back
const BUTTONS = {
  en: { play: "Play", pause: "Pause", back: "Step back", step: "Step", label: "Replay" },
  "zh-CN": { play: "播放", pause: "暂停", back: "后退", step: "前进", label: "回放" },
};
const CHINESE = {
  ...WORDS,
  processes: "进程",
  clients: "客户端",
  server: "服务器",
  works: "工作",
  zombie: "僵尸",
  waits: "等待",
  served: "正在服务",
  what: { client: "客户端", slow: "慢", burst: "一批", silent: "沉默", crash: "崩溃" },
  numbers: { zombies: "僵尸", at_work: "工作中", waiting: "等待中", descriptors: "描述符" },
  crowd: {
    waits: (count) => `${count} 个等待`,
    served: (count) => `${count} 个正在服务`,
    works: (count) => `${count} 个工作`,
    zombie: (count) => `${count} 个僵尸`,
    server: (count) => `${count} 个服务器`,
  },
  clock: (seconds) => `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} 秒`,
  earlier: (seconds) => `\u2212${seconds} 秒`,
  of: (seconds, all) => `${seconds.toFixed(1)} / ${all.toFixed(1)} 秒`,
  zombies: (count) => `${count} 个僵尸`,
  working: (count) => `${count} 个子进程在工作`,
  serving: (count) => `${count} 个客户端正在得到服务`,
  waiting: (count, seconds) => `${count} 个客户端在等待，最久的等了 ${seconds} 秒`,
  quiet: "没有客户端",
  each: "列表",
};

function show(figure) {
  const language = document.documentElement.lang;
  const words = BUTTONS[language];
  const picture = figure.querySelector("img");
  const place = picture.closest("p") ?? picture;
  const screen = document.createElement("div");
  screen.className = "lifelines";
  place.replaceWith(screen);
  const lifelines = new Lifelines(screen, language === "en" ? WORDS : CHINESE);
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

addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.replay")) show(figure);
  for (const part of document.querySelectorAll("pre, .table-wrapper, .diagram")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
});
