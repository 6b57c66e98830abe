// Progressive enhancement: ticking times, live updates, shortcuts, charts. Pages and forms work without it.
const root = document.documentElement;
const ahead = Date.parse(root.dataset.now) - Date.now(); // the server's clock counts, not the reader's
const serverNow = () => Date.now() + ahead;
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- Times, formatted as in cloud/web/formatting.py ---

export function duration(seconds, coarse = false) {
  const span = Math.max(0, seconds);
  if (span < (coarse ? 89.5 : 90)) return `${Math.round(span)} s`;
  if (coarse) {
    const [size, unit] = span < 5400 ? [60, "min"] : span < 172800 ? [3600, "h"] : [86400, "d"];
    return `${Math.trunc(span / size)} ${unit}`;
  }
  const two = (large, unit, small, smaller) => (small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`);
  const minutes = Math.round(span / 60), hours = Math.trunc(minutes / 60);
  if (minutes < 60) return `${minutes} min`;
  return hours < 48 ? two(hours, "h", minutes % 60, "min") : two(Math.trunc(hours / 24), "d", hours % 24, "h");
}

export const ago = (then, now) => `${duration((now - then) / 1000, true)} ago`;

export function countdown(impact, now) {
  const left = (impact - now) / 1000;
  return left > 0 ? `in ${duration(left)}` : `due ${duration(-left)} ago`;
}

export function interval(low, high, now) {
  const soonest = (low - now) / 1000, latest = (high - now) / 1000;
  if (soonest > 0) {
    const first = duration(soonest), last = duration(latest);
    return first === last ? "" : `between ${first} and ${last}`;
  }
  if (latest > 0) return `any moment now, in ${duration(latest)} at the latest`;
  return `the latest estimate passed ${duration(-latest)} ago`;
}

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function tick(within = document) {
  const now = serverNow();
  for (const time of $$("time[data-as]", within)) {
    const at = Date.parse(time.dateTime), as = time.dataset.as;
    const clock = exact.format(at);
    if (time.title !== clock) time.title = clock;
    setText(time, as === "ago" ? ago(at, now) : as === "in" ? countdown(at, now) : clock);
  }
  for (const range of $$("[data-low]", within)) {
    const low = Date.parse(range.dataset.low), high = Date.parse(range.dataset.high);
    range.title = `${exact.format(low)} to ${exact.format(high)}`;
    setText(range, interval(low, high, now));
  }
}

// --- Charts: drawn in the page's own colours ---

let embed;
const specs = new Map(); // of this drawing: an episode's charts come together
async function specOf(chart) {
  const embedded = $("script", chart), address = chart.dataset.spec;
  if (embedded) return JSON.parse(embedded.textContent);
  if (!specs.has(address)) specs.set(address, fetch(address).then((answer) => { if (!answer.ok) throw new Error(`${answer.status}`); return answer.json(); }));
  return (await specs.get(address))[Number(chart.dataset.place)];
}
const theme = () => {
  const style = getComputedStyle(root), colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const textStyle = (name) => ({ color: colour(name), font, fontSize: 12, fontWeight: 600 });
  return {
    font, background: null, view: { stroke: null }, padding: { left: 0, right: 4, top: 4, bottom: 6 },
    axis: { labelColor: colour("muted"), titleColor: colour("muted"), labelFont: font, titleFont: font, labelFontSize: 12,
      titleFontSize: 12, titleFontWeight: 400, gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line") },
    axisX: { grid: false }, axisY: { domain: false, ticks: false },
    style: { // "color" and not fill or stroke: that is what overrides Vega-Lite's own black
      measured: { color: colour("accent"), strokeWidth: 2 }, hover: { opacity: 0, size: 120, filled: true },
      fitted: { color: colour("text"), strokeWidth: 1.5, strokeDash: [5, 4] },
      limit: { color: colour("critical"), strokeWidth: 1.5 }, "limit-text": textStyle("critical"),
      expected: { color: colour("fine"), fillOpacity: 0.16 }, impact: { color: colour("critical"), fillOpacity: 0.12 },
      detected: { color: colour("muted"), strokeWidth: 1, strokeDash: [2, 2] }, "detected-text": textStyle("muted"),
      now: { color: colour("text"), strokeWidth: 1 }, "now-text": textStyle("text"),
    },
  };
};

async function drawCharts(within = document) {
  const charts = $$("figure[data-vega]", within);
  if (!charts.length) return;
  const config = theme();
  specs.clear();
  for (const chart of charts) {
    const canvas = $(".canvas", chart), plain = canvas.firstElementChild;
    try {
      embed ??= import(chart.dataset.vega).then(() => window.vegaEmbed);
      const place = document.createElement("div"), spec = await specOf(chart);
      place.className = "drawn";
      canvas.append(place);
      // ast: expressions are interpreted, because the content security policy forbids eval
      await (await embed)(place, spec, { config, ast: true, renderer: "svg", actions: false, defaultStyle: false,
        mode: "vega-lite", tooltip: { disableDefaultStyle: true } });
      plain?.remove();
      if (canvas.children.length > 1 && plain !== place) canvas.replaceChildren(place);
      chart.dataset.drawn = "yes";
    } catch (error) {
      embed = undefined;
      $(".drawn", canvas)?.remove();
      if (!$(".chart-error", chart)) canvas.insertAdjacentHTML("afterend", '<p class="muted chart-error">The interactive chart could not be drawn. The one above shows the same, with times in UTC.</p>');
      console.error(error);
    }
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts());

// --- Live updates: the page is fetched again, and its parts are replaced without moving what is being read ---

let waitingPage = null;

function adopt(page, showNew = false) {
  root.dataset.feed = page.documentElement.dataset.feed;
  for (const old of $$("[data-live]")) {
    const fresh = page.getElementById(old.id);
    const busy = $("details.menu[open]", old) || (old.contains(document.activeElement) && $("form", old));
    if (!fresh) { if (old.id.startsWith("seen-") || old.id.startsWith("why-")) old.remove(); continue; }
    if (busy && !showNew) continue;
    if (old.dataset.version && old.dataset.version === fresh.dataset.version) continue;
    const open = $$("details", old).map((details) => details.open);
    const place = document.adoptNode(fresh);
    if (!old.matches("#actions")) $$("details", place).forEach((details, i) => { details.open = open[i] ?? false; });
    old.replaceWith(place);
    drawCharts(place);
  }
  const last = $$(".why").at(-1);
  $$(".seen, .why", page).forEach((part) => { if (last && !document.getElementById(part.id)) { last.after(part); drawCharts(part); } });
  adoptRows(page, showNew);
  document.title = page.title;
  tick();
}

function adoptRows(page, showNew) {
  const list = $("#rows"), fresh = page.getElementById("rows");
  if (!list || !fresh) return;
  const focused = document.activeElement?.closest?.(".row")?.id;
  const picked = new Set($$(".c-pick input:checked", list).map((box) => box.value));
  const pick = (row) => { const box = $(".c-pick input", row); if (box) box.checked = picked.has(box.value) && !box.disabled; };
  if (showNew) { $$(".row", fresh).forEach(pick); list.replaceChildren(...fresh.children); }
  else {
    const known = new Set($$(".row", list).map((row) => row.id));
    for (const row of $$(".row", list)) {
      const changed = page.getElementById(row.id);
      if (!changed) row.classList.add("gone");
      else {
        if (changed.dataset.version !== row.dataset.version) changed.classList.add("changed");
        pick(changed);
        changed.classList.toggle("current", row.classList.contains("current"));
        row.replaceWith(changed);
      }
    }
    announce($$(".row", fresh).filter((row) => !known.has(row.id)).length);
  }
  if (showNew) announce(0);
  waitingPage = page;
  if (focused) $(`#${focused} a`)?.focus({ preventScroll: true });
  document.dispatchEvent(new Event("forewarn:rows"));
}

function announce(count) {
  const button = $("#announce");
  button.hidden = count === 0;
  if (count) setText(button, `${count} new ${count === 1 ? "case" : "cases"}: show`);
}

const parse = (html) => new DOMParser().parseFromString(html, "text/html");
const here = () => { const url = new URL(location); ["done", "case", "label", "undo", "count"].forEach((key) => url.searchParams.delete(key)); return url; };

let refreshing = false, again = false;
async function refresh(showNew = false) {
  if (refreshing) { again = true; return; }
  refreshing = true;
  $("#main").ariaBusy = "true";
  try {
    const answer = await fetch(here(), { headers: { Accept: "text/html", "Forewarn-Refresh": "live" } });
    if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
    if (!answer.ok) throw new Error(`${answer.status}`);
    const page = parse(await answer.text());
    if ($("#load-error")) $("#load-error").hidden = true;
    adopt(page, showNew);
  } catch {
    if ($("#load-error")) $("#load-error").hidden = false;
  } finally {
    refreshing = false;
    $("#main").ariaBusy = "false";
    if (again) { again = false; refresh(); }
  }
}

// A hidden tab gives its connection back: browsers open only six to one host, and staff open many cases.
let stream = null;
function follow() {
  stream?.close();
  if (document.hidden) { stream = null; return; }
  const mine = $("#actions")?.dataset.number;
  stream = new EventSource(`/live?after=${root.dataset.feed}${mine ? `&case=${mine}` : ""}`);
  stream.onopen = () => live("Live", true);
  stream.onerror = () => live(stream?.readyState === EventSource.CLOSED ? "Not live: reload the page" : "Reconnecting…", false);
  stream.addEventListener("changed", (event) => {
    root.dataset.feed = event.lastEventId;
    if ($("#rows") || $("#devices") || JSON.parse(event.data).cases.includes(Number(mine))) refresh();
  });
  stream.addEventListener("viewers", (event) => setText($("#viewers"), JSON.parse(event.data).text));
  stream.addEventListener("devices", (event) => {
    const watch = JSON.parse(event.data), time = $("#watch time");
    if ($("#watched")) setText($("#watched"), `${watch.devices} ${watch.devices === 1 ? "device" : "devices"} watched, ${watch.online} online`);
    else if ($("#watch") && watch.devices) refresh();
    if (time && watch.last_seen) { time.dateTime = watch.last_seen; tick($("#watch")); }
    if ($("#devices")) refresh();
  });
}
function live(text, on) {
  const sign = $("#live");
  sign.hidden = false;
  setText(sign, text);
  sign.classList.toggle("on", on);
}

// --- Changes: forms are sent without leaving the page ---

let toastTimer;
function toast(place) {
  clearTimeout(toastTimer);
  $("#toast")?.replaceWith(place);
  if (!place.hidden) toastTimer = setTimeout(() => { place.hidden = true; }, 10_000);
}

async function send(form, submitter) {
  const body = new URLSearchParams(new FormData(form, submitter));
  try {
    const answer = await fetch(form.action, { method: "POST", body });
    if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
    const page = parse(await answer.text());
    const menu = form.closest("details.menu");  // not another one, which was opened while this was on its way
    if (menu) menu.open = false;
    form.closest("dialog")?.close();
    if (form.id === "bulk" && answer.ok) { form.reset(); $$(".menu", form).forEach((each) => { each.open = false; }); $$(".c-pick input:checked").forEach((box) => { box.checked = false; }); }
    const alert = $("[role=alert]:not([hidden])", page);
    if (page.getElementById("toast") && $("#summary", page) !== null === ($("#summary") !== null)) {
      adopt(page, false);
      toast(document.adoptNode(page.getElementById("toast")));
    } else if (alert) {
      showAlert(alert.textContent);
      refresh();
    } else location.assign(answer.url);
  } catch {
    showAlert("The change could not be sent. Check the connection and try again.");
  }
}

function showAlert(text) {
  const place = document.createElement("div");
  Object.assign(place, { id: "toast", className: "toast", textContent: text });
  place.setAttribute("role", "alert");
  toast(place);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.action.endsWith("/logout") || form.matches("[data-whole], [data-plain]")) return;
  event.preventDefault();
  send(form, event.submitter);
});

document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// A form that asks for a time zone proposes the reader's own.
document.addEventListener("toggle", (event) => {
  for (const input of $$("input[name=zone]", event.target)) {
    if (input.value === input.defaultValue) input.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  }
}, true);

// --- Start ---

document.addEventListener("forewarn:alert", (event) => showAlert(event.detail)); // from keyboard.js
$("#announce")?.addEventListener("click", () => (waitingPage ? refresh(true) : refresh()));
$("#retry")?.addEventListener("click", () => refresh());
if (location.search !== here().search) history.replaceState(null, "", here());
if ($("#toast:not([hidden])")) toast($("#toast"));
document.addEventListener("visibilitychange", () => { follow(); if (!document.hidden) refresh(); });
tick();
setInterval(tick, 1000);
drawCharts();
follow();
