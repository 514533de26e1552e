// Keeps the sandbox's pages fresh and sends what their buttons say.
"use strict";

const REFRESH_MS = 3000;

/** Replace every live part of this page by what the server shows now; open details stay open. */
async function refresh() {
  let text;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    text = await answer.text();
  } catch {
    return; // the sandbox restarts; the next round finds it again
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const replacement = fresh.getElementById(part.id);
    if (!replacement || replacement.innerHTML === part.dataset.shown) continue;
    const open = new Set([...part.querySelectorAll("details[open]")].map((details) => details.id));
    part.dataset.shown = replacement.innerHTML;
    part.replaceChildren(...replacement.childNodes);
    for (const details of part.querySelectorAll("details")) details.open = open.has(details.id);
  }
}

/** The JSON that a button sends: its own, with the filled-in fields of its form on top. */
function bodyOf(button) {
  const body = JSON.parse(button.dataset.body);
  for (const field of button.closest("form")?.elements ?? []) {
    if (!field.name || field.value === "") continue;
    body[field.name] = field.type === "number" ? Number(field.value) : field.value;
  }
  return JSON.stringify(body);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-send]");
  if (!button) return;
  event.preventDefault();
  if (button.dataset.confirm && !confirm(button.dataset.confirm)) return;
  button.disabled = true;
  const options = { method: button.dataset.method ?? "POST" };
  if (button.dataset.body) {
    options.body = bodyOf(button);
    options.headers = { "content-type": "application/json" };
  }
  try {
    const answer = await fetch(button.dataset.send, options);
    if (!answer.ok) alert(`${answer.status} ${answer.statusText}`);
    else if (button.dataset.then) location.assign(button.dataset.then);
  } catch (error) {
    alert(String(error));
  } finally {
    button.disabled = false;
    await refresh();
  }
});

if (document.querySelector("[data-live]")) {
  setInterval(() => {
    if (!document.hidden) refresh();
  }, REFRESH_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
}
