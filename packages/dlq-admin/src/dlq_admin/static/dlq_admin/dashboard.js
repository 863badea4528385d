/* Keeps a page of the dashboard up to date, and makes it quick to use with a keyboard. The pages work without it. */
"use strict";

(function () {
  const region = document.querySelector("[data-dlq-live]");
  if (!region) return;

  // --- Changing what is shown, and nothing else ---

  // A field that a person uses, and what they have opened, stay as they are.
  const theirs = new Set(["open", "value", "checked"]);

  function sync(from, to) {
    for (const { name, value } of to.attributes) {
      if (theirs.has(name) && from.localName !== "progress") continue;
      if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    }
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !theirs.has(name)) from.removeAttribute(name);
    }
  }

  function keyOf(node) {
    return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || null : null;
  }

  function morph(from, to) {
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
      from.replaceWith(to);
      return;
    }
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    if (from.name === "csrfmiddlewaretoken") return;
    if (from.localName === "progress") from.value = to.value;
    sync(from, to);
    morphChildren(from, to);
  }

  // The next node without a key that is of the same kind.
  function alike(place, child) {
    let node = place;
    while (node && (keyOf(node) || node.nodeName !== child.nodeName)) node = node.nextSibling;
    return node;
  }

  function morphChildren(from, to) {
    const kept = new Map();
    for (const child of from.children) {
      if (keyOf(child)) kept.set(keyOf(child), child);
    }
    let place = from.firstChild;
    for (const child of [...to.childNodes]) {
      const key = keyOf(child);
      const known = key ? kept.get(key) : alike(place, child);
      if (known && known.nodeName === child.nodeName) {
        if (known !== place) from.insertBefore(known, place);
        else place = place.nextSibling;
        morph(known, child);
      } else {
        from.insertBefore(child, place);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  // --- Asking again and again ---

  const EVERY = 5000;
  // A form that is being filled in, and the answer to a post, have no newer version.
  const toggle = "dlqStill" in region.dataset ? null : document.querySelector("[data-dlq-toggle]");
  const label = toggle && toggle.querySelector("[data-dlq-label]");
  let timer = null;
  let pause = EVERY;
  let busy = false;

  function isOn() {
    return toggle && toggle.getAttribute("aria-pressed") === "true";
  }

  function later() {
    clearTimeout(timer);
    if (isOn() && !document.hidden) timer = setTimeout(refresh, pause);
  }

  async function refresh() {
    if (busy) return;
    busy = true;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { headers: { "Dlq-Fragment": "1" }, credentials: "same-origin", redirect: "error" });
      // 404 and 503 have something to say too: what was there is gone, or the store is away.
      if (!answer.ok && answer.status !== 404 && answer.status !== 503) throw new Error(answer.statusText);
      const next = document.createElement("template");
      next.innerHTML = await answer.text();
      morphChildren(region, next.content);
      show(true);
      // A page that takes long to make is asked for less often: a store has more to do than to be looked at.
      pause = Math.max(EVERY, 50 * (performance.now() - began));
    } catch {
      show(false);
      pause = Math.min(60000, 2 * pause);
    } finally {
      busy = false;
      decorate();
      later();
    }
  }

  function show(answered) {
    if (!toggle) return;
    toggle.classList.toggle("dlq-lost", !answered);
    label.textContent = !isOn() ? toggle.dataset.off : answered ? toggle.dataset.on : toggle.dataset.lost;
  }

  function remember(on) {
    try {
      localStorage.setItem("dlq-live", on ? "on" : "off");
    } catch {
      // Not every browser lets a page remember.
    }
  }

  function remembered() {
    try {
      return localStorage.getItem("dlq-live") !== "off";
    } catch {
      return true;
    }
  }

  if (toggle) {
    toggle.hidden = false;
    toggle.setAttribute("aria-pressed", String(remembered()));
    show(true);
    toggle.addEventListener("click", () => {
      const on = !isOn();
      toggle.setAttribute("aria-pressed", String(on));
      remember(on);
      show(true);
      if (on) refresh();
      else later();
    });
    document.addEventListener("visibilitychange", () => (document.hidden ? later() : isOn() && refresh()));
    later();
  }

  // --- Choosing jobs ---

  function boxes() {
    return [...region.querySelectorAll('input[type="checkbox"][name="id"]')];
  }

  function decorate() {
    const chosen = boxes().filter((box) => box.checked).length;
    for (const all of region.querySelectorAll("[data-dlq-all]")) {
      all.checked = chosen > 0 && chosen === boxes().length;
      all.indeterminate = chosen > 0 && chosen < boxes().length;
    }
    for (const count of region.querySelectorAll("[data-dlq-chosen]")) {
      count.textContent = chosen ? count.dataset.dlqChosen.replace("0", chosen) : "";
    }
    for (const button of region.querySelectorAll("[data-dlq-copy]")) button.hidden = !navigator.clipboard;
  }

  let last = null;
  region.addEventListener("click", (event) => {
    const box = event.target.closest('input[type="checkbox"]');
    if (box && box.matches("[data-dlq-all]")) {
      for (const each of boxes()) each.checked = box.checked;
    } else if (box && box.name === "id") {
      const all = boxes();
      if (event.shiftKey && last && all.includes(last)) {
        const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
        for (const each of all.slice(from, to + 1)) each.checked = box.checked;
      }
      last = box;
    }
    const copy = event.target.closest("[data-dlq-copy]");
    if (copy) {
      navigator.clipboard.writeText(document.getElementById(copy.dataset.dlqCopy).textContent).then(() => {
        copy.textContent = copy.dataset.done;
      });
    }
    decorate();
  });
  decorate();

  // --- Keys: / search, j and k down and up, x choose ---

  function move(step) {
    const links = [...region.querySelectorAll("tbody th[scope=row] a")];
    const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step];
    if (next) next.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const keys = {
      "/": () => document.querySelector("[data-dlq-search]")?.focus(),
      j: () => move(1),
      k: () => move(-1),
      x: () => document.activeElement.closest("tr")?.querySelector('input[name="id"]')?.click(),
    };
    const act = keys[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
})();
