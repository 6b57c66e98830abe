// The keyboard, the help overlay, and the selection of rows. Everything here has a button, too.
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const alert = (text) => document.dispatchEvent(new CustomEvent("forewarn:alert", { detail: text }));

// --- Rows ---

const row = () => document.activeElement?.closest?.(".row") ?? $(".row.current");
const isDone = (chosen) => ["closed", "merged"].includes(chosen.dataset.state);
function move(step) {
  const links = $$(".row a.c-what"), at = links.indexOf($("a.c-what", row() ?? document.createElement("i")));
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))];
  $$(".row.current").forEach((old) => old.classList.remove("current"));
  next?.closest(".row").classList.add("current");
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function openMenu(menu) {
  menu.open = true;
  $("input:not([type=hidden]), textarea, select, button", menu)?.focus();
}

function take() {
  const chosen = row();
  if (!chosen) return $("#act-take, #act-release")?.requestSubmit();
  if (isDone(chosen)) return alert("This case is closed. Open its page to reopen it.");
  const mine = chosen.dataset.owner === $(".who span").textContent;
  const form = $("#quick");
  form.action = `/cases/${chosen.dataset.number}/${mine ? "release" : "take"}`;
  form.requestSubmit();
}

// On the page of a case a key opens its menu; in the inbox a dialog, which then goes back to the row.
function ask(name, verb, path) {
  const menu = $(`#act-${path}`), chosen = row();
  if (menu) return openMenu(menu);
  if (!chosen || !$(`#${name}`)) return;
  if (isDone(chosen)) return alert("This case is closed. Open its page to reopen it.");
  const form = $(`#${name}-form`);
  form.reset();
  form.action = `/cases/${chosen.dataset.number}/${path}`;
  $(`#${name}-title`).textContent = `${verb} case ${chosen.dataset.number}: ${$(".c-what", chosen).textContent.trim()}`;
  $(`#${name}`).dataset.row = chosen.id;
  $(`#${name}`).showModal();
  $("input[type=radio], select", form).focus();
}

// --- Selection ---

function showPicked() {
  const place = $("#picked"), count = $$(".c-pick input:checked").length;
  if (!place) return;
  const text = count === 1 ? "1 case selected" : `${count} cases selected`;
  if (place.textContent !== text) place.textContent = text;
  $("#unpick").hidden = false;
}
function pick() {
  const box = $(".c-pick input", row() ?? document.createElement("i"));
  if (!box || box.disabled) return;
  box.checked = !box.checked;
  showPicked();
}
document.addEventListener("change", (event) => { if (event.target.closest(".c-pick")) showPicked(); });
document.addEventListener("forewarn:rows", showPicked);
$("#unpick")?.addEventListener("click", () => { $$(".c-pick input:checked").forEach((box) => { box.checked = false; }); showPicked(); });

// --- Keys ---

const fleet = () => $('.top nav a[href="/fleet"]')?.getAttribute("href") ?? "/figures";
const go = { i: () => "/", d: () => "/devices", f: fleet };
const keys = {
  j: () => move(1), k: () => move(-1), x: pick, a: take,
  e: () => ask("closing", "Close", "close"),
  s: () => ask("snoozing", "Snooze", "snooze"),
  n: () => { if ($("#act-note")) openMenu($("#act-note")); },
  u: () => $("#toast:not([hidden]) form")?.requestSubmit(),
  "/": () => { $("#q")?.focus(); $("#q")?.select(); },
  "?": () => $("#help").showModal(),
};
let prefix = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    const menu = $("details.menu[open]");
    if (menu) { menu.open = false; $("summary", menu).focus(); } else if (document.activeElement === $("#q")) $("#q").blur();
    return;
  }
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
  if (Date.now() - prefix < 1500 && go[event.key]) return location.assign(go[event.key]());
  prefix = event.key === "g" ? Date.now() : 0;
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

// --- Start ---

$("#help-button").hidden = false;
$("#help-button").addEventListener("click", () => $("#help").showModal());
// The row may have been replaced while its dialog was open, and the browser then has nothing to give the focus back to.
$$("dialog[id$=ing]").forEach((dialog) => dialog.addEventListener("close", () => $(`#${dialog.dataset.row} a.c-what`)?.focus()));
$$("[data-cancel]").forEach((button) => button.addEventListener("click", () => button.closest("dialog").close()));
