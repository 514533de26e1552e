// What the page shows, and doing something with what it says afterwards.
import * as api from './api.js';
import { $ } from './dom.js';
import { say } from './texts.js';

const STORED = 'flame-sandbox-phone';

// `answering` is the message that the next one quotes, `editing` the one whose text is being changed.
export const view = { phone: localStorage.getItem(STORED), chat: null, answering: null, editing: null };

// What a person asked for: how much of it is under way, and how much has ended.
export const asked = { pending: 0, ended: 0 };

let redraw = async () => {};
export const onChange = (callback) => { redraw = callback; };
export const refresh = () => redraw();

export function hold(phone) {
  Object.assign(view, { phone, chat: null, answering: null, editing: null });
  if (phone) localStorage.setItem(STORED, phone);
  else localStorage.removeItem(STORED);
}

export function notify(text, isProblem = false) {
  $('notice').hidden = !text;
  $('notice').textContent = text || '';
  $('notice').className = isProblem ? 'card problem' : 'card';
}

export const report = (error) => notify(error instanceof api.Refused ? error.message : say('unreachable'), true);

export async function attempt(work, success) {
  asked.pending += 1;
  try {
    await work();
    notify(success);
  } catch (error) {
    report(error);
  }
  asked.pending -= 1;
  asked.ended += 1;
  await refresh();
}

export function onSubmit(id, work, success = () => '') {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(() => work(Object.fromEntries(new FormData(event.target)), event.target), success());
  });
}
