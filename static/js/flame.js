// What every page may use: local times, countdowns, copy buttons, more rule rows, and polling where events do not arrive.
(() => {
  const language = document.documentElement.lang || "es";
  const STYLES = {
    datetime: { dateStyle: "medium", timeStyle: "short" },
    date: { dateStyle: "medium" },
    time: { timeStyle: "short" },
  };

  const UNITS = [
    ["year", 31_536_000],
    ["month", 2_592_000],
    ["week", 604_800],
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ];

  function showLocalTimes(root) {
    root.querySelectorAll("time[data-style]").forEach((element) => {
      const when = new Date(element.dateTime);
      element.textContent = new Intl.DateTimeFormat(language, STYLES[element.dataset.style]).format(when);
      element.removeAttribute("data-style");
    });
    root.querySelectorAll("time[data-ago]").forEach((element) => {
      const when = new Date(element.dateTime);
      element.title = new Intl.DateTimeFormat(language, STYLES.datetime).format(when);
      element.textContent = sayHowLongAgo(when);
    });
  }

  function sayHowLongAgo(when) {
    const seconds = (when - Date.now()) / 1000;
    const format = new Intl.RelativeTimeFormat(language, { numeric: "always" });
    for (const [unit, length] of UNITS) {
      if (Math.abs(seconds) >= length * 0.95) return format.format(Math.round(seconds / length), unit);
    }
    return format.format(Math.round(seconds), "second");
  }

  function countDown() {
    document.querySelectorAll("[data-until]").forEach((element) => {
      const seconds = Math.max(0, Math.round((new Date(element.dataset.until) - Date.now()) / 1000));
      element.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    });
  }

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const source = document.querySelector(copy.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.value);
      } catch {
        // Browsers give the clipboard only to pages that came by HTTPS, and copy only from a field that can be seen.
        const hidden = source.type === "hidden";
        if (hidden) source.type = "text";
        source.select();
        document.execCommand("copy");
        if (hidden) source.type = "hidden";
      }
      const label = copy.querySelector("[data-label]");
      const before = label.textContent;
      label.textContent = copy.dataset.done;
      window.setTimeout(() => (label.textContent = before), 2000);
      return;
    }
    const add = event.target.closest("[data-add-rule]");
    if (add) {
      event.preventDefault();
      const list = document.querySelector(add.dataset.addRule);
      const row = list.lastElementChild.cloneNode(true);
      const number = list.children.length;
      row.querySelectorAll("[id]").forEach((field) => (field.id = field.id.replace(/\d+$/, number)));
      row.querySelectorAll("[for]").forEach((field) => (field.htmlFor = field.htmlFor.replace(/\d+$/, number)));
      row.querySelectorAll("input, textarea").forEach((field) => {
        field.value = "";
        field.classList.remove("is-invalid");
      });
      row.querySelectorAll(".invalid-feedback").forEach((note) => note.remove());
      list.append(row);
      row.querySelector("input, textarea").focus();
    }
  });

  // Events keep the page alive; when none (not even a tick) came for 20 s, it is asked for every 10 s instead.
  const live = document.querySelector("[data-live]");
  if (live && window.htmx) {
    let heard = 0;
    const hear = () => (heard = Date.now());
    document.body.addEventListener("htmx:sseOpen", (event) => {
      hear();
      event.detail.source.addEventListener("tick", hear);
    });
    document.body.addEventListener("htmx:sseMessage", hear);
    window.setInterval(() => {
      if (Date.now() - heard > 20_000) window.htmx.trigger(live, "poll");
    }, 10_000);
  }

  // What the reader opened stays open when the part around it is replaced.
  const opened = new Set();
  document.addEventListener(
    "toggle",
    (event) => {
      if (!event.target.id) return;
      if (event.target.open) opened.add(event.target.id);
      else opened.delete(event.target.id);
    },
    true,
  );

  document.addEventListener("htmx:load", (event) => {
    opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    showLocalTimes(event.target.parentElement || document);
    countDown();
  });
  showLocalTimes(document);
  countDown();
  window.setInterval(countDown, 1000);
  window.setInterval(() => showLocalTimes(document), 20_000);
})();
