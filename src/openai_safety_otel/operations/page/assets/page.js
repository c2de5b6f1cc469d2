"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const CLASSES = data.kinds;
  const RUNGS = ["deactivated", "blocked", "warned", "held", "enforcement", "flagged", "decided", "quiet"];
  const RUNG_NAMES = { deactivated: "deactivated", blocked: "blocked", warned: "warned", held: "possibly held", enforcement: "enforcement blocks", flagged: "flagged", decided: "decided", quiet: "quiet" };
  const STEP = 50;
  const number = new Intl.NumberFormat("en");

  // Every text goes in as text: what strangers sent never becomes markup.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") element.className = value;
      else if (name === "colour") element.style.background = value;
      else if (name === "width") element.style.width = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const tint = (name) => `var(--${name})`;
  const when = (text) => (text ? text.slice(0, 16).replace("T", " ") : "");
  const total = (counts) => Object.values(counts || {}).reduce((sum, count) => sum + count, 0);
  const listed = (counts) => Object.entries(counts || {}).sort((a, b) => b[1] - a[1]).map(([name, count]) => `${name} ${number.format(count)}`).join(", ");

  // --- charts ---------------------------------------------------------------------------------------------
  const drawings = [];
  function chart(id, draw) {
    const place = document.getElementById(id);
    if (place) drawings.push({ place, draw, width: 0 });
  }
  function drawAll() {
    for (const drawing of drawings) {
      const width = Math.floor(drawing.place.clientWidth);
      if (!width || width === drawing.width) continue;
      drawing.width = width;
      const plot = drawing.draw(width);
      if (plot) drawing.place.replaceChildren(plot);
    }
  }
  const whole = (count) => (Number.isInteger(count) ? d3.format("~s")(count) : "");
  const day = (text) => new Date(`${text}T00:00:00Z`);

  chart("timeline", (width) => {
    if (!data.timeline.length) return null;
    const kinds = Object.keys(CLASSES).filter((kind) => data.timeline.some((row) => row.kind === kind));
    return Plot.plot({
      width, height: 260, marginLeft: 44, className: "plot",
      x: { type: "band", domain: data.days, label: null, tickFormat: (text) => d3.utcFormat("%b %-d")(day(text)),
           ticks: data.days.filter((_, at) => at % Math.ceil(data.days.length / Math.max(2, width / 70)) === 0) },
      y: { grid: true, label: "signals", tickFormat: whole, nice: true },
      color: { domain: kinds, range: kinds.map(tint) },
      marks: [
        Plot.barY(data.timeline, { x: "day", y: "count", fill: "kind", order: kinds, insetLeft: 1, insetRight: 1,
          channels: { kind: { value: (row) => CLASSES[row.kind], label: "kind" } },
          tip: { fill: "var(--card)", format: { fill: false, x: true, y: true } } }),
        Plot.ruleY([0]),
      ],
    });
  });

  chart("heatmap", (width) => {
    if (!data.categories.length) return null;
    const names = data.category_names;
    const most = d3.max(data.categories, (cell) => cell.flagged) || 1;
    const cell = Math.max(26, (width - 160) / data.days.length);
    return Plot.plot({
      width: Math.max(width, 160 + 26 * data.days.length), height: 34 + names.length * 24, marginLeft: 152, marginTop: 24, padding: 0.06,
      className: "plot",
      x: { domain: data.days, axis: "top", label: null, tickFormat: (text) => d3.utcFormat("%b %-d")(day(text)),
           ticks: data.days.filter((_, at) => at % Math.ceil(60 / cell) === 0), tickSize: 0 },
      y: { domain: names, label: null, tickSize: 0 },
      opacity: { type: "identity" },
      marks: [
        Plot.cell(d3.cross(data.days, names), { x: "0", y: "1", fill: "var(--ground)", rx: 3 }),
        Plot.cell(data.categories, { x: "day", y: "category", rx: 3, fill: "var(--heat)",
          fillOpacity: (one) => (one.flagged ? 0.2 + 0.4 * Math.sqrt(one.flagged / most) : 0.12 * (one.highest || 0)),
          channels: { flagged: { value: "flagged", label: "flagged calls" }, highest: { value: (one) => (one.highest === null ? "" : one.highest.toFixed(3)), label: "highest score" } },
          tip: { fill: "var(--card)", format: { fillOpacity: false, x: true, y: true } } }),
        Plot.text(data.categories.filter((one) => one.flagged && cell > 22), {
          x: "day", y: "category", text: (one) => d3.format("~s")(one.flagged), fontSize: 11, fill: "var(--ink)", pointerEvents: "none" }),
      ],
    });
  });

  chart("standing", (width) => {
    const dots = data.people.filter((one) => one.top && one.calls > 0).slice(0, 2000);
    if (!dots.length) return null;
    return Plot.plot({
      width, height: 260, marginLeft: 44, className: "plot",
      x: { type: "log", label: "calls", tickFormat: "~s", nice: true, grid: true },
      y: { domain: [0, 1], label: "highest score", grid: true },
      r: { type: "identity" },
      color: { domain: RUNGS, range: RUNGS.map(tint) },
      marks: [
        Plot.dot(dots.slice().reverse(), { x: "calls", y: (one) => one.top[1], r: (one) => Math.min(13, 3.5 + 2.2 * Math.sqrt(one.enforcement || 0)), fill: "rung", fillOpacity: 0.75,
          stroke: "var(--card)", strokeWidth: 1,
          channels: { identifier: { value: (one) => one.identifier.slice(0, 16), label: "identifier" }, text: { value: "text", label: "stands" }, category: { value: (one) => one.top[0], label: "category" } },
          tip: { fill: "var(--card)", format: { fill: false, r: false, x: true, y: ".2f" } } }),
      ],
    });
  });

  // --- people ---------------------------------------------------------------------------------------------
  const people = document.getElementById("people");
  const filter = document.getElementById("filter");
  const sort = document.getElementById("sort");
  const shownText = document.getElementById("shown");
  const more = document.getElementById("more");
  let rung = null;
  let limit = STEP;

  const ORDERS = {
    risk: null,
    calls: (a, b) => b.calls - a.calls,
    flagged: (a, b) => b.flagged - a.flagged,
    blocked: (a, b) => total(b.blocked) - total(a.blocked),
    score: (a, b) => (b.top ? b.top[1] : 0) - (a.top ? a.top[1] : 0),
    last: (a, b) => (b.last_seen || "").localeCompare(a.last_seen || ""),
  };

  function figureOf(value, label) {
    return make("span", { class: "num" }, number.format(value), make("small", {}, label));
  }

  function personOf(one) {
    const details = make("details", { class: "person" });
    details.style.borderLeftColor = tint(one.rung);
    const standing = make("span", { class: "standing" }, one.text, one.suspended ? " · suspended" : "");
    const score = one.top
      ? make("span", { class: "top" }, one.top[0], " ", one.top[1].toFixed(2), make("span", { class: "meter" }, make("i", { width: `${Math.round(100 * one.top[1])}%` })))
      : make("span", { class: "top" }, make("small", {}, "no scores"));
    score.querySelector(".meter")?.style.setProperty("display", "block");
    const short = one.identifier.length > 24 ? `${one.identifier.slice(0, 16)}…` : one.identifier || "(no identifier)";
    details.append(make("summary", {},
      make("span", { class: "id" }, short), standing,
      figureOf(one.calls, one.calls === 1 ? "call" : "calls"), figureOf(one.flagged, "flagged"), figureOf(total(one.blocked), "blocked"), score));
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) details.append(insideOf(one));
    });
    return details;
  }

  function facts(pairs) {
    const list = make("dl", {});
    for (const [name, value] of pairs) {
      if (value !== null && value !== undefined && value !== "") list.append(make("dt", {}, name), make("dd", {}, value));
    }
    return list;
  }

  function insideOf(one) {
    const inside = make("div", { class: "inside" });
    inside.append(make("div", {}, make("h3", {}, "What happened"), facts([
      ["identifier", one.identifier ? make("code", {}, one.identifier) : null],
      ["seen", `${when(one.first_seen)} to ${when(one.last_seen)}`],
      ["APIs", (one.apis || []).join(", ")],
      ["models", (one.models || []).join(", ")],
      ["API keys", (one.keys || []).join(", ")],
      ["linked sessions", (one.linked || []).join(", ")],
      ["outcomes", listed(one.outcomes)],
      ["blocks", listed(one.blocked)],
      ["flags", listed(one.flags)],
      ["reaches", (one.states || []).join("; ")],
      ["notices", (one.notices || []).join("; ")],
      ["decision", one.decision],
    ])));
    const scores = Object.entries(one.scores || {}).sort((a, b) => b[1] - a[1]);
    if (scores.length) {
      inside.append(make("div", {}, make("h3", {}, "Highest score per category"), make("div", { class: "scores" },
        ...scores.map(([name, value]) => make("div", {}, make("span", {}, name), make("span", { class: "meter" }, make("i", { width: `${Math.max(1, Math.round(100 * value))}%` })), make("span", { class: "num" }, value.toFixed(2)))))));
    }
    if (one.days && one.days.length) inside.append(daysOf(one));
    if (one.identifier) {
      inside.append(make("div", { class: "whole" }, make("h3", {}, "Next"),
        make("code", {}, `openai-safety investigate ${one.identifier} --by YOU --why REASON --out case.zip`)));
    }
    return inside;
  }

  function daysOf(one) {
    const rows = one.days.flatMap(([date, ...counts]) => Object.keys(CLASSES).slice(0, 4).map((kind, at) => ({ day: date, kind, count: counts[at] })));
    const kinds = Object.keys(CLASSES).slice(0, 4);
    const plot = Plot.plot({
      width: Math.min(1040, Math.max(260, people.clientWidth - 60)), height: 110, marginLeft: 32, className: "plot",
      x: { type: "band", domain: data.days, label: null, tickFormat: (text) => d3.utcFormat("%b %-d")(day(text)),
           ticks: data.days.filter((_, at) => at % Math.ceil(data.days.length / 10) === 0) },
      y: { label: null, ticks: 3, grid: true, tickFormat: whole },
      color: { domain: kinds, range: kinds.map(tint) },
      marks: [Plot.barY(rows.filter((row) => row.count), { x: "day", y: "count", fill: "kind", order: kinds, insetLeft: 1, insetRight: 1 }), Plot.ruleY([0])],
    });
    const total_of = (at) => d3.sum(one.days, (row) => row[at]);
    const label = `Signals by day: ${kinds.map((kind, at) => `${CLASSES[kind]} ${total_of(at + 1)}`).join(", ")}.`;
    return make("div", { class: "whole" }, make("h3", {}, label), make("figure", { role: "img", "aria-label": label }, plot));
  }

  function matching() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = data.people.filter((one) => (!rung || one.rung === rung) && words.every((word) => textOf(one).includes(word)));
    const order = ORDERS[sort.value];
    return order ? found.sort(order) : found;
  }
  function textOf(one) {
    one.find ||= JSON.stringify([one.identifier, one.text, one.apis, one.models, one.keys, Object.keys(one.blocked || {}), Object.keys(one.flags || {}), one.linked, one.suspended ? "suspended" : ""]).toLowerCase();
    return one.find;
  }

  function show() {
    const found = matching();
    people.replaceChildren(...found.slice(0, limit).map(personOf));
    if (!found.length) people.append(make("p", { class: "empty" }, data.people.length ? "Nobody matches." : "No calls in this time."));
    shownText.textContent = `${number.format(Math.min(limit, found.length))} of ${number.format(found.length)} shown`;
    more.hidden = found.length <= limit;
  }

  for (const button of document.querySelectorAll(".rungs button")) {
    button.addEventListener("click", () => {
      rung = rung === button.dataset.rung ? null : button.dataset.rung;
      for (const other of document.querySelectorAll(".rungs button")) other.setAttribute("aria-pressed", String(other.dataset.rung === rung));
      limit = STEP;
      show();
    });
  }
  filter.addEventListener("input", () => { limit = STEP; show(); });
  sort.addEventListener("change", () => { limit = STEP; show(); });
  more.addEventListener("click", () => {
    const at = limit;
    limit += STEP;
    show();
    people.children[at]?.querySelector("summary")?.focus();
  });

  for (const element of document.querySelectorAll(".js-only")) element.hidden = false;
  for (const element of document.querySelectorAll("[data-colour]")) element.style.background = tint(element.dataset.colour);
  for (const element of document.querySelectorAll("[data-share]")) { element.style.width = `${element.dataset.share}%`; element.hidden = element.dataset.share === "0"; }
  show();
  drawAll();
  // A page that is opened already scrolled into a fragment, or from a phone that turns.
  new ResizeObserver(drawAll).observe(document.querySelector("main"));
})();
