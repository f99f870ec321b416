// Shows what the device says, and says what was clicked. It keeps nothing, computes no list, and
// writes texts as texts, never as markup.

const PAST = {
  view: "saw", click: "opened", search: "found", dwell: "stayed with", cart: "put aside",
  purchase: "bought", rating: "rated", like: "liked", dislike: "disliked", hide: "hid",
};
/** What may be said of an item: the word on the button, and what it does. */
const SAY = { view: "Seen", like: "Like", dislike: "Less", hide: "Hide" };
const MEANS = {
  view: "I have seen", like: "I like", dislike: "Less like", hide: "Do not show again:",
};
const HUSH_AFTER_MS = 6000;
const SURE_FOR_MS = 5000;

const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const share = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat("en", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false,
});
const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

/** Indexes of the items as they were listed before. */
let before = null;
/** Where the catalogue is open, and how much of it is shown at a time. */
let from = 0;
let page = 0;
let hush = 0;
let isBusy = false;

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

async function ask(path, body) {
  const request = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, request);
  const isJson = answer.headers.get("content-type") === "application/json";
  const said = isJson ? await answer.json() : await answer.text();
  if (!answer.ok) throw new Error(said);
  return said;
}

function say(text) {
  by("said").textContent = text;
  clearTimeout(hush);
  hush = setTimeout(() => { by("said").textContent = ""; }, HUSH_AFTER_MS);
}

/** Does one thing after the other: a click while another is under way is none. */
async function act(action, done) {
  if (isBusy) return;
  isBusy = true;
  try {
    const state = await ask("do", action);
    const moved = show(state);
    await find();
    say(`${done} ${moved}`);
  } catch (problem) {
    say(`The device did not answer: ${problem.message}`);
  } finally {
    isBusy = false;
  }
}

function button(text, label, action, done) {
  const made = make("button", { type: "button", textContent: text });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(action, done));
  return made;
}

function actions(one, kinds) {
  const buttons = kinds.map((kind) => button(
    SAY[kind], `${MEANS[kind]} ${one.title}`,
    { what: "did", item: one.item, kind }, `You ${PAST[kind]} ${one.title}.`,
  ));
  return make("div", { className: "actions" }, ...buttons);
}

function described(one, note) {
  const categories = make("span", { className: "categories" }, one.categories.join(", "));
  const title = make("span", { className: "title" }, one.title);
  return make("div", {}, title, " ", categories, make("div", { className: "about" }, note));
}

function why(reason) {
  const words = {
    because: () => `because you ${PAST[reason.did]} ${reason.title}`,
    chosen: () => "for a topic you like",
    general: () => "what many like",
  };
  return make("span", { className: "why" }, words[reason.kind]());
}

/** How an item moved since the list was shown before. */
function movement(item, place) {
  if (!before) return ["", ""];
  const former = before.indexOf(item);
  if (former < 0) return ["new", "new"];
  if (former > place) return ["up", `▲${former - place}`];
  if (former < place) return ["down", `▼${place - former}`];
  return ["", ""];
}

function suggestion(one, place) {
  const [tone, text] = movement(one.item, place);
  const moved = make("span", { className: `moved ${tone}` }, text);
  const rank = make("div", { className: "rank" }, make("b", {}, `${place + 1}`), moved);
  const row = make("li", {}, rank, described(one, why(one.why)),
    actions(one, ["view", "like", "dislike", "hide"]));
  row.dataset.item = one.item;
  return row;
}

/** Puts rows in place, the keyboard where it was, and lets rows glide to their new places. */
function fill(list, rows) {
  const place = (row) => [row.dataset.item, row.getBoundingClientRect().top];
  const tops = new Map([...list.children].map(place));
  const focused = document.activeElement;
  const row = [...list.children].findIndex((child) => child.contains(focused));
  const column = row < 0 ? -1 : [...list.children[row].querySelectorAll("button")].indexOf(focused);

  list.replaceChildren(...rows);
  if (row >= 0) {
    const next = list.children[Math.min(row, rows.length - 1)];
    (next?.querySelectorAll("button")[column] ?? list).focus({ preventScroll: true });
  }
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const child of rows) {
    const top = tops.get(child.dataset.item);
    if (top === undefined) continue;
    const distance = top - child.getBoundingClientRect().top;
    if (!distance) continue;
    const start = { transform: `translateY(${distance}px)` };
    child.animate([start, {}], { duration: 350, easing: "ease" });
  }
}

/** Shows all but the catalogue; gives in words how the list moved. */
function show(state) {
  by("number").textContent = whole.format(state.device);
  by("devices").textContent = whole.format(state.devices);
  fill(by("list"), state.list.map(suggestion));
  by("empty").hidden = state.list.length > 0;
  showBudget(state.privacy);
  showTopics(state.categories);
  for (const radio of document.querySelectorAll("[name=consent]")) {
    radio.checked = radio.value === state.consent;
  }
  fill(by("mine"), state.mine.map(done));
  by("forget-all").disabled = state.mine.length === 0 && !state.categories.some((one) => one.chosen);

  const now = state.list.map((one) => one.item);
  const changed = before ? now.filter((item, place) => before[place] !== item).length : 0;
  before = now;
  return changed ? `${changed} of ${now.length} places changed.` : "The list stayed.";
}

function showBudget(privacy) {
  by("left").textContent = share.format(Math.max(0, 1 - privacy.share));
  by("rest").value = Math.max(0, 1 - privacy.share);
  by("epsilon").textContent =
    `spent: epsilon ${privacy.epsilon} of ${privacy.limit} at delta ${privacy.delta.toExponential(0)}`;
  by("sentence").textContent = privacy.sentence;
  by("sent").replaceChildren(...privacy.sent.map((one) => make("tr", {},
    make("td", { className: "number" }, `${one.round}`),
    make("td", {}, moment.format(one.at)),
    make("td", {}, one.what),
    make("td", { className: "number" }, one.numbers === null ? "–" : whole.format(one.numbers)),
    make("td", { className: "number" }, one.among === null ? "–" : whole.format(one.among)),
    make("td", { className: "number" }, share.format(one.share)),
    make("td", {}, one.became),
  )));
}

function showTopics(topics) {
  const chosen = topics.filter((one) => one.chosen).map((one) => one.number);
  const focused = document.activeElement?.dataset.topic;
  by("topics").replaceChildren(...topics.map((one) => {
    const others = chosen.filter((number) => number !== one.number);
    const categories = one.chosen ? others : [...chosen, one.number];
    const verb = one.chosen ? "is no longer a topic" : "is a topic";
    const made = button(one.name, one.name, { what: "choose", categories }, `${one.name} ${verb}.`);
    made.setAttribute("aria-pressed", `${one.chosen}`);
    made.dataset.topic = one.number;
    return made;
  }));
  if (focused) document.querySelector(`[data-topic="${CSS.escape(focused)}"]`)?.focus();
}

function done(one, place) {
  const at = one.at === null ? "" : `, ${day.format(one.at)}`;
  const forget = button("Forget", `Forget ${one.title}`,
    { what: "forget", item: one.item }, `${one.title} is forgotten.`);
  const row = make("li", {}, described(one, `you ${PAST[one.did]} it${at}`),
    make("div", { className: "actions" }, forget));
  row.dataset.item = `${one.item} ${place}`;
  return row;
}

async function find() {
  const words = by("words").value.trim();
  const found = await ask(`find?from=${from}&words=${encodeURIComponent(words)}`);
  fill(by("found"), found.items.map((one) => {
    const note = one.did ? `you ${PAST[one.did]} it` : "";
    const row = make("li", {}, described(one, note), actions(one, ["view", "like"]));
    row.dataset.item = one.item;
    return row;
  }));
  const last = found.from + found.items.length;
  const first = Math.min(found.from + 1, last);
  by("place").textContent = found.total
    ? `${whole.format(first)} to ${whole.format(last)} of ${whole.format(found.total)}`
    : "no such title";
  page = found.page;
  by("earlier").disabled = found.from === 0;
  by("later").disabled = last >= found.total;
}

async function turn(to) {
  from = Math.max(0, to);
  try {
    await find();
  } catch (problem) {
    say(`The device did not answer: ${problem.message}`);
  }
}

function forgetAll() {
  const asked = by("forget-all");
  if (asked.dataset.sure) {
    delete asked.dataset.sure;
    asked.textContent = "Forget everything";
    act({ what: "forget-all" }, "All of it is forgotten; what was released stays paid for.");
    return;
  }
  asked.dataset.sure = "once";
  asked.textContent = "Really forget all of it?";
  setTimeout(() => {
    delete asked.dataset.sure;
    asked.textContent = "Forget everything";
  }, SURE_FOR_MS);
}

by("search").addEventListener("submit", (event) => event.preventDefault());
by("words").addEventListener("input", () => turn(0));
by("earlier").addEventListener("click", () => turn(from - page));
by("later").addEventListener("click", () => turn(from + page));
by("forget-all").addEventListener("click", forgetAll);
by("consent").addEventListener("change", (event) => {
  const to = event.target.value;
  act({ what: "consent", to }, `The network: ${to}.`);
});

try {
  show(await ask("state"));
  await find();
  document.documentElement.dataset.ready = "yes";
} catch (problem) {
  say(`The device did not answer: ${problem.message}`);
}
