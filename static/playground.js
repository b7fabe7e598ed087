// The drawn phones: what each person's phone holds, and every request it sends, shown as it went over the wire.
"use strict";

const playground = document.getElementById("playground");
const words = JSON.parse(playground.dataset.words);
const MOST_PHONES = 12;
const MOST_EXCHANGES = 60;
const SHOWN_HEADERS = ["Content-Type", "WWW-Authenticate", "Retry-After"];

const phones = [];
let current;
let busy = false;

const element = (id) => document.getElementById(id);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

function duration(seconds) {
  const units = [["days", 86400], ["hours", 3600], ["minutes", 60]];
  // A token one second short of 7 days is still "7 days" to a person.
  const [unit, size] = units.find(([, size]) => seconds >= 2 * size - 1) || ["seconds", 1];
  return fill(words[unit], { n: Math.round(seconds / size) });
}

function shortened(text) {
  return text.replace(/mps_[\w-]{43}/g, (token) => `${token.slice(0, 8)}…${token.slice(-4)}`);
}

// Talking to the server

async function send(phone, method, path, { body, authorized }) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (authorized) headers.Authorization = `Bearer ${phone.token}`;
  const exchange = { phone, method, path, headers, body, answer: null };
  try {
    const options = { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" };
    const response = await fetch(path, options);
    exchange.text = await response.text();
    exchange.response = response;
    exchange.answer = JSON.parse(exchange.text);
  } catch {
    // No answer, or one that is no JSON: a proxy's page, a server that has just ended. It is shown as it is.
  }
  return exchange;
}

const STEPS = {
  async wx_login(phone) {
    const exchange = await send(phone, "POST", "/playground/wx-login", { body: { user: phone.user } });
    if (accepted(exchange)) Object.assign(phone, { code: exchange.answer.code, used: false });
    return [exchange, () => fill(words.said_wx_login, phone)];
  },

  async log_in(phone) {
    const replaces = phone.live;
    const exchange = await send(phone, "POST", "/api/login", { body: { code: phone.code }, authorized: replaces });
    phone.used = true;
    if (!accepted(exchange)) return [exchange];
    const { token, user, expires_in } = exchange.answer;
    Object.assign(phone, { token, live: true, id: user.id });
    const said = fill(words.said_logged_in, { ...phone, time: duration(expires_in) });
    return [exchange, () => (replaces ? `${said} ${words.said_replaced}` : said)];
  },

  async verify(phone) {
    const exchange = await send(phone, "GET", "/api/verify", { authorized: true });
    const { user_id: id, expires_in } = exchange.answer || {};
    return [exchange, () => fill(words.said_verified, { id, time: duration(expires_in) })];
  },

  async sessions(phone) {
    const exchange = await send(phone, "GET", "/api/me/sessions", { authorized: true });
    const said = () => {
      const n = exchange.answer.sessions.length;
      return fill(n === 1 ? words.said_session : words.said_sessions, { ...phone, n });
    };
    return [exchange, said];
  },

  async log_out(phone) {
    const exchange = await send(phone, "POST", "/api/logout", { authorized: true });
    if (accepted(exchange)) phone.live = false;
    return [exchange, () => fill(words.said_logged_out, phone)];
  },
};

function accepted(exchange) {
  return exchange.answer !== null && exchange.answer.errcode === 0;
}

async function press(step) {
  const phone = current;
  const { why } = readiness(phone)[step];
  if (why) {
    say(why);
    return;
  }
  busy = true;
  draw();
  const [exchange, success] = await STEPS[step](phone);
  busy = false;
  if (exchange.answer && exchange.response.status === 401) phone.live = false;
  const said = accepted(exchange) ? success() : fill(words.said_failed, { ...phone, what: failure(exchange.answer) });
  say(said);
  record(exchange, said);
  draw();
}

function failure(answer) {
  return answer === null ? words.said_none : words[`said_${answer.retry}`] || answer.errmsg;
}

// Which buttons make sense, and why the others do not

function readiness(phone) {
  const wait = busy ? words.why_busy : "";
  const code = phone.code === "" ? words.why_no_code : phone.used ? words.why_used_code : "";
  const token = phone.token === "" ? words.why_no_token : "";
  const live = token || (phone.live ? "" : words.why_ended);
  return {
    wx_login: { why: wait, hint: words.hint_wx_login },
    log_in: { why: wait || code, hint: words.hint_log_in },
    verify: { why: wait || token, hint: phone.live ? words.hint_verify : words.hint_verify_ended },
    sessions: { why: wait || live, hint: words.hint_sessions },
    log_out: { why: wait || live, hint: words.hint_log_out },
  };
}

function nextStep(phone) {
  if (phone.code !== "" && !phone.used) return "log_in";
  return phone.live ? "verify" : "wx_login";
}

function state(phone) {
  if (phone.live) return fill(words.live, phone);
  if (phone.code !== "" && !phone.used) return words.has_code;
  return phone.token === "" ? words.out : words.ended;
}

// Drawing

function draw() {
  element("owner").textContent = current.name;
  element("avatar").textContent = [...current.name.trim()][0] || "?";
  element("avatar").className = `avatar hue-${phones.indexOf(current) % 6}`;
  element("state").textContent = state(current);
  element("state").classList.toggle("live", current.live);
  const ready = readiness(current);
  for (const button of document.querySelectorAll("[data-step]")) {
    const { why, hint } = ready[button.dataset.step];
    // Not `disabled`: the keyboard and the screen reader should be able to find out why.
    button.setAttribute("aria-disabled", String(why !== ""));
    button.classList.toggle("next", button.dataset.step === nextStep(current));
    element(`why-${button.dataset.step}`).textContent = why || hint;
  }
  for (const phone of phones) {
    phone.mark.textContent = phone.live ? words.pill_live : "";
    phone.mark.parentElement.classList.toggle("live", phone.live);
  }
}

function say(sentence) {
  element("said").textContent = sentence;
  element("said").classList.add("spoken");
}

function record(exchange, said) {
  const item = element("exchange").content.cloneNode(true).firstElementChild;
  const put = (name, text) => {
    item.querySelector(name).textContent = text;
  };
  put(".who", exchange.phone.name);
  put(".line", `${exchange.method} ${exchange.path}`);
  put(".meaning", said);
  put(".sent", requestText(exchange));
  put(".got", answerText(exchange));
  showStatus(item.querySelector(".status"), exchange.response);
  const token = exchange.answer && exchange.answer.token;
  if (token) copies(item.querySelector(".token"), () => token);
  const before = element("exchanges").querySelector("details");
  if (before) before.open = false;
  element("exchanges").prepend(item);
  while (element("exchanges").childElementCount > MOST_EXCHANGES) element("exchanges").lastElementChild.remove();
}

function showStatus(place, response) {
  const status = response ? response.status : 0;
  const kind = status === 0 ? "none" : status < 400 ? "ok" : status < 500 ? "refused" : "away";
  place.classList.add(kind);
  place.textContent = status === 0 ? words.none : `${status} ${response.statusText} · ${words[kind]}`;
}

function requestText({ method, path, headers, body }) {
  const lines = [`${method} ${path}`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  return shortened(lines.join("\n") + (body ? `\n\n${JSON.stringify(body, null, 2)}` : ""));
}

function answerText({ response, answer, text }) {
  if (!response) return words.none;
  const shown = SHOWN_HEADERS.filter((name) => response.headers.has(name));
  const lines = [`${response.status} ${response.statusText}`];
  lines.push(...shown.map((name) => `${name}: ${response.headers.get(name)}`));
  const body = answer === null ? (text || "").slice(0, 2000) : JSON.stringify(answer, null, 2);
  return shortened(`${lines.join("\n")}\n\n${body}`);
}

// Copying

function copies(button, text) {
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = done ? words.copied : words.not_copied;
    say(button.textContent);
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain http on the local network there is no clipboard API; the old way still works there.
    const area = document.createElement("textarea");
    const before = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before.focus();
    return done;
  }
}

// People

function addPhone(user, name, input) {
  const mark = document.createElement("span");
  mark.className = "mark";
  const phone = { user, name, mark, code: "", used: false, token: "", live: false, id: null };
  input.parentElement.append(mark);
  input.addEventListener("change", () => {
    current = phone;
    draw();
  });
  phones.push(phone);
  return phone;
}

function newPill(user, name) {
  const pill = document.querySelector(".pill").cloneNode(true);
  pill.querySelector(".mark").remove();
  pill.classList.remove("live");
  pill.querySelector(".pill-name").textContent = name;
  const input = pill.querySelector("input");
  input.value = user;
  element("phones").append(pill);
  return input;
}

function someoneElse(event) {
  event.preventDefault();
  const user = element("someone").value;
  if (phones.length >= MOST_PHONES) {
    say(words.full);
    return;
  }
  const same = phones.filter((phone) => phone.user === user);
  // A second phone of the same person, to see that one logout ends one session.
  const name = same.length ? `${same[0].name} ${same.length + 1}` : user;
  const input = newPill(user, name);
  current = addPhone(user, name, input);
  input.checked = true;
  input.focus();
  element("someone").value = "";
  draw();
}

for (const input of document.querySelectorAll(".pill input")) addPhone(input.value, input.dataset.name, input);
document.querySelector(".pill input").checked = true;
current = phones[0];
element("people").addEventListener("submit", someoneElse);
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => press(button.dataset.step));
}
for (const button of document.querySelectorAll("[data-copies]")) {
  copies(button, () => element(button.dataset.copies).textContent);
}
draw();
playground.hidden = false;
