// Keeps figures up to date by server-sent events, and says whether it does. Without it there is a link to refresh.
"use strict";
{
  const line = document.getElementById("live");
  const number = new Intl.NumberFormat(document.documentElement.lang);
  let said = null;
  let first = null;

  const say = (text) => {
    if (!said) {
      said = document.createElement("span");
      said.setAttribute("role", "status");
      line.prepend(said, " ");
    }
    if (said.textContent !== text) said.textContent = text;
  };

  const show = (figures) => {
    for (const [name, n] of Object.entries(figures)) {
      const place = document.querySelector(`[data-figure="${name}"]`);
      const text = n === null ? "–" : number.format(n);
      if (!place || place.textContent === text) continue;
      place.textContent = text;
      place.classList.remove("fresh");
      void place.offsetWidth; // lets the animation begin anew
      place.classList.add("fresh");
    }
    const fresh = document.getElementById("new-logins");
    if (fresh && figures.logins !== null) {
      first ??= figures.logins;
      const more = figures.logins - first;
      fresh.hidden = more <= 0;
      if (more > 0) fresh.textContent = (more === 1 ? fresh.dataset.one : fresh.dataset.many).replace("{n}", number.format(more));
    }
  };

  if (line && window.EventSource) {
    const stream = new EventSource(line.dataset.stream);
    stream.addEventListener("message", (event) => {
      say(line.dataset.live);
      show(JSON.parse(event.data));
    });
    stream.addEventListener("error", () => say(line.dataset.lost));
    window.addEventListener("pagehide", () => stream.close());
  }
}
