// Chats and their messages: reading, writing, and what a contact does with a message afterwards.
import * as api from './api.js';
import { $, digits, draw, make } from './dom.js';
import { language, say } from './texts.js';
import { attempt, onSubmit, refresh, view } from './view.js';

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString(language, { timeStyle: 'short' });
const kindOf = (message) => `[${say('kinds')[message.type] || message.type}]`;
const summarize = (message) =>
  message.directPath || message.type === 'revoked'
    ? [kindOf(message), message.caption || message.filename].filter(Boolean).join(' ')
    : message.body || kindOf(message);

function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// The part of a message that a form's file makes; a recorded voice is sent as one.
async function describeFile(file, isVoice) {
  if (!file?.size) return {};
  const mimetype = (file.type || 'application/octet-stream').replaceAll('"', '');
  const media = { data: await toBase64(file), mimetype, filename: file.name };
  return { media, ...(isVoice && mimetype.startsWith('audio/') && { type: 'ptt' }) };
}

export function drawChats(chats) {
  draw('chats', [view.chat?.chat, chats], () => {
    if (!chats.length) return [make('li', { className: 'soft' }, say('noChats'))];
    return chats.map((chat) => {
      const pick = () => {
        Object.assign(view, { chat, answering: null, editing: null });
        refresh();
      };
      const title = chat.self ? `${chat.title} (${say('yourself')})` : chat.title;
      const unread = chat.unread ? [make('span', { className: 'pill' }, String(chat.unread))] : [];
      const button = make(
        'button',
        { type: 'button', className: chat.chat === view.chat?.chat ? 'entry picked' : 'entry', onclick: pick },
        make('strong', {}, title),
        ...unread,
        make('span', { className: 'soft' }, summarize(chat.last)),
      );
      return make('li', {}, button);
    });
  });
}

function actOn(message) {
  const { phone, chat } = view;
  if (chat.self || !chat.number || message.type === 'revoked') return [];
  const id = message.id.id;
  const tell = (action, body = {}) => () => attempt(() => api.tell(phone, action, { id, ...body }));
  const begin = (purpose) => () => {
    Object.assign(view, { answering: null, editing: null, [purpose]: message });
    $('write').elements.body.value = purpose === 'editing' ? message.caption || message.body : '';
    $('write').elements.body.focus();
    refresh();
  };
  const actions = [];
  if (message.id.fromMe && message.via !== 'phone' && message.ack < 3) {
    actions.push(['markRead', () => attempt(() => api.report(phone, id, 3))]);
  }
  if (message.undecrypted) actions.push(['decrypt', tell('decrypt')]);
  actions.push(['quote', begin('answering')]);
  actions.push(message.reaction ? ['unreact', tell('react', { emoji: '' })] : ['react', tell('react', { emoji: '👍' })]);
  if (!message.id.fromMe) actions.push(['edit', begin('editing')], ['revoke', tell('revoke')]);
  if (message.directPath) actions.push(['expire', tell('expire')]);
  return actions.map(([name, act]) => make('button', { type: 'button', className: 'link', onclick: act }, say(name)));
}

function drawFile(message) {
  const source = `api/${view.phone}/files/${message.id.id}`;
  const title = message.filename || kindOf(message);
  const size = `${Math.max(1, Math.round(message.size / 1024))} kB`;
  const isPicture = message.type === 'image' || message.type === 'sticker';
  const content = isPicture ? make('img', { src: source, alt: title, loading: 'lazy' }) : `${title} (${size})`;
  return make('a', { href: source, className: 'file', download: message.filename || '' }, content);
}

function drawMessage(message, byId) {
  const mine = message.id.fromMe;
  const facts = [clock(message.t)];
  if (mine) facts.push(say(message.via === 'phone' ? 'viaPhone' : 'viaDevice'), say('acks')[message.ack] || '');
  if (message.edited) facts.push(say('edited'));
  if (message.undecrypted) facts.push(say('undecrypted'));
  const footer = make('small', {}, facts.join(' · '));
  if (message.copies > 1) {
    footer.append(' · ', make('strong', { className: 'alarm' }, say('repeated').replace('{n}', message.copies)));
  }
  const item = make('li', { className: mine ? 'bubble' : 'bubble user' });
  const quoted = message.quotedStanzaID && byId.get(message.quotedStanzaID);
  if (message.quotedStanzaID) item.append(make('blockquote', {}, quoted ? summarize(quoted) : '…'));
  if (message.directPath) item.append(drawFile(message), message.caption || '');
  else item.append(message.type === 'revoked' ? kindOf(message) : message.body || kindOf(message));
  if (message.reaction) item.append(make('span', { className: 'reaction' }, message.reaction));
  const actions = make('small', { className: 'acts' }, ...actOn(message));
  item.append(footer, actions);
  return item;
}

export async function drawThread() {
  $('thread').hidden = !view.chat;
  if (!view.chat) return;
  const { chat, title, number, self } = view.chat;
  $('thread-title').textContent = number ? `${title} · +${number}` : title;
  const target = view.editing || view.answering;
  $('purpose').hidden = !target;
  $('purpose-text').textContent = target ? `${say(view.editing ? 'editing' : 'answering')} “${summarize(target)}”` : '';
  $('writer').hidden = self || !number || !!target;
  $('attach').hidden = self || !!view.editing;
  $('write').hidden = !number;
  const messages = await api.getMessages(view.phone, chat);
  if (view.chat?.chat !== chat) return;
  const byId = new Map(messages.map((message) => [message.id.id, message]));
  const changed = draw('messages', [chat, messages], () => messages.map((message) => drawMessage(message, byId)));
  if (changed) $('messages').scrollTop = $('messages').scrollHeight;
}

const takesFile = (form) => form.addEventListener('change', () => {
  form.elements.body.required = !form.elements.file.files.length;
});
takesFile($('customer'));
takesFile($('write'));

onSubmit('customer', async ({ from, pushname, body, lid, undecrypted, file, voice, kind }, form) => {
  const { chat } = await api.tell(view.phone, 'incoming', {
    from: digits(from),
    body,
    ...(pushname && { pushname }),
    ...(lid && { addressing: 'lid' }),
    ...(undecrypted && { undecrypted: true }),
    ...(kind && { type: kind }),
    ...(await describeFile(file, voice)),
  });
  for (const name of ['body', 'file']) form.elements[name].value = '';
  form.elements.body.required = true;
  view.chat = (await api.getChats(view.phone)).find((known) => known.chat === chat);
});
onSubmit('write', async ({ as, body, file }, form) => {
  const { number, self } = view.chat;
  const quoted = view.answering?.id.id;
  if (view.editing) await api.tell(view.phone, 'edit', { id: view.editing.id.id, body });
  else if (self || (as === 'owner' && !quoted)) await api.tell(view.phone, 'own', { to: number, body });
  else {
    const attached = await describeFile(file, false);
    await api.tell(view.phone, 'incoming', { from: number, body, ...(quoted && { quoted }), ...attached });
  }
  for (const name of ['body', 'file']) form.elements[name].value = '';
  form.elements.body.required = true;
  Object.assign(view, { answering: null, editing: null });
});
$('purpose-end').onclick = () => {
  Object.assign(view, { answering: null, editing: null });
  $('write').elements.body.value = '';
  refresh();
};
$('self').onclick = async () => {
  const chats = await api.getChats(view.phone);
  const unwritten = { chat: `${view.phone}@c.us`, title: $('owner').textContent, number: view.phone, self: true };
  Object.assign(view, { chat: chats.find((chat) => chat.self) || unwritten, answering: null, editing: null });
  refresh();
};
