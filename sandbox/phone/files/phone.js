// The page: whose phone it is, what it is linked to, and a view that is asked for anew every second.
import * as api from './api.js';
import { drawChats, drawThread } from './chats.js';
import { $, digits, draw, make } from './dom.js';
import { drawFailures } from './failures.js';
import { language, say } from './texts.js';
import { asked, attempt, hold, notify, onChange, onSubmit, refresh, report, view } from './view.js';

const POLL_MS = 1000;

const ago = (seconds) => {
  const passed = Math.max(0, Math.round((Date.now() / 1000 - seconds) / 10) * 10);
  return passed < 60 ? `${passed} s` : `${Math.floor(passed / 60)} min`;
};

function drawPhones(phones) {
  draw('phones', phones.map(({ phone, name }) => [phone, name]), (list) =>
    list.map(([phone, name]) => make('button', { type: 'button', onclick: () => take(phone) }, `${name} · +${phone}`)),
  );
}

const link = (how) =>
  attempt(async () => {
    const { stalled } = await api.pair(view.phone, how);
    if (stalled) throw new api.Refused(say('stalled'));
  }, say('linked'));

function drawSessions(sessions) {
  const waiting = sessions.filter((session) => session.qr).sort((a, b) => b.opened_at - a.opened_at);
  const data = waiting.map(({ session, qr, refs, opened_at: opened }) => [session, qr, refs.at(-1), ago(opened)]);
  draw('sessions', data, (list) => {
    if (!list.length) return [make('li', { className: 'soft' }, say('noSessions'))];
    return list.map(([session, qr, ref, opened]) => {
      const source = `api/sessions/${session}/qr.svg?${encodeURIComponent(ref.slice(-8))}`;
      return make(
        'li',
        { className: 'session' },
        make('img', { src: source, alt: 'QR', width: 132, height: 132 }),
        make(
          'div',
          {},
          make('p', { className: 'soft' }, `${say('opened')} ${opened}`),
          make('button', { type: 'button', className: 'primary', onclick: () => link({ qr }) }, say('scan')),
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

async function show() {
  const { ended } = asked;
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
    drawDevices(held.devices);
    // An answer from before a switch was moved would move it back.
    if (!asked.pending && asked.ended === ended) drawFailures(held);
    const [sessions, chats] = await Promise.all([api.getSessions(), api.getChats(held.phone)]);
    if (view.phone !== held.phone) return;
    drawSessions(sessions);
    drawChats(chats);
    await drawThread();
  } catch (error) {
    report(error);
  }
}

function take(phone) {
  hold(phone);
  refresh();
}

function pickTab(tab) {
  document.body.dataset.tab = tab;
  for (const button of document.querySelectorAll('.tabs button')) {
    button.setAttribute('aria-pressed', button.dataset.tab === tab);
  }
}

onChange(show);
onSubmit('open', async ({ phone, name }) => hold((await api.openPhone(digits(phone), name.trim())).phone));
for (const [id, field] of [['paste', 'qr'], ['code', 'code']]) {
  $(id).addEventListener('submit', async (event) => {
    event.preventDefault();
    await link({ [field]: event.target.elements[field].value.trim() });
    event.target.reset();
  });
}
$('put-down').onclick = () => take(null);
$('logout').onclick = () => attempt(() => api.tell(view.phone, 'logout'), say('unlinked'));
for (const button of document.querySelectorAll('.tabs button')) button.onclick = () => pickTab(button.dataset.tab);

pickTab('link');
for (;;) {
  await refresh();
  await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
