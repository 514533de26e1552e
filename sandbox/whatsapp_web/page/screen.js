// What a person sees. wppconnect reads the QR code from <div data-ref="…"><canvas>.
__d('SandboxScreen', [], (exports, require) => {
  const QR_SIZE = 264;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const show = (...elements) => document.getElementById('app').replaceChildren(...elements);
  const landing = (...children) => make('div', { class: 'landing-wrapper' }, ...children);

  const draw = (canvas, rows) => {
    const context = canvas.getContext('2d');
    const scale = Math.floor(QR_SIZE / (rows.length + 8)) || 1;
    const margin = Math.floor((QR_SIZE - scale * rows.length) / 2);
    context.fillStyle = '#fff';
    context.fillRect(0, 0, QR_SIZE, QR_SIZE);
    context.fillStyle = '#000';
    rows.forEach((row, y) =>
      [...row].forEach((module, x) => {
        if (module === '1') context.fillRect(margin + x * scale, margin + y * scale, scale, scale);
      }),
    );
  };

  exports.showCode = async (ref) => {
    const { device } = require('SandboxDeviceStore');
    const { encodeB64 } = require('WABase64');
    const { DEVICE_PLATFORM } = require('WAWebCompanionRegClientUtils');
    const text = [ref, encodeB64(device.noise), encodeB64(device.identity), device.adv, DEVICE_PLATFORM].join(',');
    const label = 'Scan this QR code to link a device!';
    const canvas = make('canvas', { width: QR_SIZE, height: QR_SIZE, role: 'img', 'aria-label': label });
    const title = make('h1', {}, 'Link a device (sandbox)');
    show(landing(title, make('div', { 'data-ref': text }, canvas)));
    const answer = await fetch('/qr', { method: 'POST', body: text });
    if (answer.ok) draw(canvas, await answer.json());
  };

  exports.showReload = () => {
    const button = make('button', {}, 'Click to reload QR code');
    button.onclick = () => require('WAWebCmd').Cmd.refreshQR();
    show(landing(button));
  };

  exports.showConflict = () => {
    const button = make('button', {}, 'Use here');
    button.onclick = () => require('WAWebSocketModel').Socket.takeover();
    show(make('p', {}, 'WhatsApp is open in another window.'), button);
  };

  exports.showBlock = () => show(make('p', {}, 'This account is restricted (sandbox).'));

  exports.showSync = () => show(make('progress'), make('div', {}, 'Loading your chats'));

  exports.showChats = () => {
    if (require('WAWebStreamModel').Stream.mode === 'TOS_BLOCK') return;
    const pane = make('div', { id: 'pane-side' });
    for (const chat of require('WAWebCollections').Chat.getModelsArray()) {
      pane.append(make('p', {}, `${chat.formattedTitle} (${chat.unreadCount}): ${chat.msgs.last()?.body || ''}`));
    }
    show(make('div', { class: 'two app', tabindex: '-1' }, pane));
  };
});
