// The page: forms that do something, and a view that is asked for anew every second.
import * as api from './api.js';
import { language, say } from './texts.js';

const POLL_MS = 1000;
const STORED = 'flame-sandbox-phone';
const $ = (id) => document.getElementById(id);
const digits = (text) => text.replace(/\D/g, '');

const view = { phone: localStorage.getItem(STORED), chat: null };
const shown = new Map();

function keep() {
  if (view.phone) localStorage.setItem(STORED, view.phone);
  else localStorage.removeItem(STORED);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Redraws a list only when what it shows has changed, so that nothing moves under the pointer.
function draw(id, data, build) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return false;
  shown.set(id, text);
  $(id).replaceChildren(...build(data));
  return true;
}

function notify(text, isProblem = false) {
  $('notice').hidden = !text;
  $('notice').textContent = text || '';
  $('notice').className = isProblem ? 'card problem' : 'card';
}

async function attempt(work, success) {
  try {
    await work();
    notify(success);
  } catch (error) {
    notify(error instanceof api.Refused ? error.message : say('unreachable'), true);
  }
  await refresh();
}

// ------------------------------------------------------------------ the view

const ago = (seconds) => {
  const passed = Math.max(0, Math.round((Date.now() / 1000 - seconds) / 10) * 10);
  return passed < 60 ? `${passed} s` : `${Math.floor(passed / 60)} min`;
};
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString(language, { timeStyle: 'short' });

function drawPhones(phones) {
  draw('phones', phones.map(({ phone, name }) => [phone, name]), (list) =>
    list.map(([phone, name]) => make('button', { type: 'button', onclick: () => take(phone) }, `${name} · +${phone}`)),
  );
}

function drawSessions(sessions) {
  const waiting = sessions.filter((session) => session.qr).sort((a, b) => b.opened_at - a.opened_at);
  const data = waiting.map(({ session, qr, refs, opened_at: opened }) => [session, qr, refs.at(-1), ago(opened)]);
  draw('sessions', data, (list) => {
    if (!list.length) return [make('li', { className: 'soft' }, say('noSessions'))];
    return list.map(([session, qr, ref, opened]) => {
      const scan = () => attempt(() => api.pair(view.phone, { qr }), say('linked'));
      const source = `api/sessions/${session}/qr.svg?${encodeURIComponent(ref.slice(-8))}`;
      return make(
        'li',
        { className: 'session' },
        make('img', { src: source, alt: 'QR', width: 132, height: 132 }),
        make(
          'div',
          {},
          make('p', { className: 'soft' }, `${say('opened')} ${opened}`),
          make('button', { type: 'button', className: 'primary', onclick: scan }, say('scan')),
        ),
      );
    });
  });
}

function drawDevices(devices) {
  $('logout').hidden = !devices.length;
  draw('devices', devices, (list) => {
    if (!list.length) return [make('li', { className: 'soft' }, say('noDevices'))];
    return list.map((device) => {
      const state = device.ready ? 'online' : device.online ? 'syncing' : 'offline';
      const dot = make('span', { className: `dot ${state}` });
      const since = new Date(device.linked_at * 1000).toLocaleString(language, { dateStyle: 'short', timeStyle: 'short' });
      return make('li', {}, dot, ` WhatsApp Web · ${say(state)} · ${say('since')} ${since}`);
    });
  });
}

function drawUnregistered(numbers) {
  draw('unregistered', numbers, (list) =>
    list.map((number) => {
      const restore = () => attempt(() => api.setRegistration(view.phone, number, false));
      return make('li', {}, `+${number} `, make('button', { type: 'button', onclick: restore }, say('restore')));
    }),
  );
}

function drawChats(chats) {
  draw('chats', [view.chat?.chat, chats], () => {
    if (!chats.length) return [make('li', { className: 'soft' }, say('noChats'))];
    return chats.map((chat) => {
      const pick = () => {
        view.chat = chat;
        refresh();
      };
      const title = chat.self ? `${chat.title} (${say('yourself')})` : chat.title;
      const unread = chat.unread ? [make('span', { className: 'pill' }, String(chat.unread))] : [];
      const button = make(
        'button',
        { type: 'button', className: chat.chat === view.chat?.chat ? 'entry picked' : 'entry', onclick: pick },
        make('strong', {}, title),
        ...unread,
        make('span', { className: 'soft' }, chat.last.body || `[${chat.last.type}]`),
      );
      return make('li', {}, button);
    });
  });
}

function drawMessage(message) {
  const mine = message.id.fromMe;
  const facts = [clock(message.t)];
  if (mine) facts.push(say(message.via === 'phone' ? 'viaPhone' : 'viaDevice'), say('acks')[message.ack] || '');
  const footer = make('small', {}, facts.join(' · '));
  if (message.copies > 1) {
    footer.append(' · ', make('strong', { className: 'alarm' }, say('repeated').replace('{n}', message.copies)));
  }
  if (mine && message.via !== 'phone' && message.ack < 3 && !view.chat.self) {
    const read = () => attempt(() => api.report(view.phone, message.id.id, 3));
    footer.append(' · ', make('button', { type: 'button', className: 'link', onclick: read }, say('markRead')));
  }
  const text = message.body || `[${message.type}]`;
  return make('li', { className: mine ? 'bubble' : 'bubble user' }, text, footer);
}

async function drawThread() {
  $('thread').hidden = !view.chat;
  if (!view.chat) return;
  const { chat, title, number, self } = view.chat;
  $('thread-title').textContent = number ? `${title} · +${number}` : title;
  $('writer').hidden = self || !number;
  $('write').hidden = !number;
  const messages = await api.getMessages(view.phone, chat);
  if (view.chat?.chat !== chat) return;
  const changed = draw('messages', [chat, messages], () => messages.map(drawMessage));
  if (changed) $('messages').scrollTop = $('messages').scrollHeight;
}

async function refresh() {
  try {
    const state = await api.getState();
    const held = state.phones.find(({ phone }) => phone === view.phone);
    $('choose').hidden = !!held;
    $('held').hidden = !held;
    drawPhones(state.phones);
    if (state.outage) notify(say('outageOn'), true);
    else if ($('notice').textContent === say('outageOn') || $('notice').textContent === say('unreachable')) notify('');
    if (!held) return;
    $('owner').textContent = held.name;
    $('owner-number').textContent = `+${held.phone}`;
    $('refuse').checked = held.refuses_sends;
    drawDevices(held.devices);
    drawUnregistered(held.unregistered);
    const [sessions, chats] = await Promise.all([api.getSessions(), api.getChats(held.phone)]);
    if (view.phone !== held.phone) return;
    drawSessions(sessions);
    drawChats(chats);
    await drawThread();
  } catch (error) {
    notify(error instanceof api.Refused ? error.message : say('unreachable'), true);
  }
}

// ------------------------------------------------------------------ what a person does

function take(phone) {
  Object.assign(view, { phone, chat: null });
  keep();
  refresh();
}

function pickTab(tab) {
  document.body.dataset.tab = tab;
  for (const button of document.querySelectorAll('.tabs button')) {
    button.setAttribute('aria-pressed', button.dataset.tab === tab);
  }
}

function onSubmit(id, work, success = () => '') {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(() => work(Object.fromEntries(new FormData(event.target)), event.target), success());
  });
}

onSubmit('open', async ({ phone, name }) => {
  const opened = await api.openPhone(digits(phone), name.trim());
  Object.assign(view, { phone: opened.phone, chat: null });
  keep();
});
onSubmit('paste', async ({ qr }, form) => {
  await api.pair(view.phone, { qr: qr.trim() });
  form.reset();
}, () => say('linked'));
onSubmit('code', async ({ code }, form) => {
  await api.pair(view.phone, { code });
  form.reset();
}, () => say('linked'));
onSubmit('customer', async ({ from, pushname, body, lid }, form) => {
  const message = { from: digits(from), body, ...(pushname && { pushname }), ...(lid && { addressing: 'lid' }) };
  const { chat } = await api.writeAsCustomer(view.phone, message);
  form.elements.body.value = '';
  view.chat = (await api.getChats(view.phone)).find((known) => known.chat === chat);
});
onSubmit('write', async ({ as, body }, form) => {
  const { number, self } = view.chat;
  if (self || as === 'owner') await api.writeAsOwner(view.phone, number, body);
  else await api.writeAsCustomer(view.phone, { from: number, body });
  form.elements.body.value = '';
});
onSubmit('outage', ({ seconds }) => api.cutNetwork(Number(seconds)));
onSubmit('unregister', async ({ number }, form) => {
  await api.setRegistration(view.phone, digits(number), true);
  form.reset();
});

$('put-down').onclick = () => take(null);
$('logout').onclick = () => attempt(() => api.logOut(view.phone), say('unlinked'));
$('refuse').onchange = ({ target }) => attempt(() => api.refuseSends(view.phone, target.checked));
$('self').onclick = async () => {
  const chats = await api.getChats(view.phone);
  const unwritten = { chat: `${view.phone}@c.us`, title: $('owner').textContent, number: view.phone, self: true };
  view.chat = chats.find((chat) => chat.self) || unwritten;
  refresh();
};
for (const button of document.querySelectorAll('.tabs button')) button.onclick = () => pickTab(button.dataset.tab);

pickTab('link');
for (;;) {
  await refresh();
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
