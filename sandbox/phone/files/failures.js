// Switches that make WhatsApp fail for this phone.
import * as api from './api.js';
import { $, digits, draw, make } from './dom.js';
import { say } from './texts.js';
import { attempt, onSubmit, view } from './view.js';

const SWITCHES = {
  refuse: ['refuses_sends', 'refuse-sends', 'refuse'],
  restrict: ['restricted', 'restrict', 'restricted'],
  passkey: ['stalls_pairing', 'passkey', 'stall'],
  replay: ['replays_late', 'replay', 'late'],
};

export function drawFailures(held) {
  for (const [id, [state]] of Object.entries(SWITCHES)) $(id).checked = held[state];
  $('sync-now').textContent = held.sync_seconds === null ? '' : say('syncNow').replace('{s}', held.sync_seconds);
  draw('unregistered', held.unregistered, (list) =>
    list.map((number) => {
      const restore = () => attempt(() => api.setRegistration(view.phone, number, false));
      return make('li', {}, `+${number} `, make('button', { type: 'button', onclick: restore }, say('restore')));
    }),
  );
  draw('losses', held.losses, (losses) =>
    Object.entries(losses).map(([operation, planned]) => {
      const stop = () => attempt(() => api.loseFrames(view.phone, { operation, lose: 'request', count: 0 }));
      const what = planned.map((lost) => say('lost')[lost]).join(', ');
      const title = `${say('operations')[operation] || operation}: ${what} `;
      return make('li', {}, title, make('button', { type: 'button', onclick: stop }, say('stop')));
    }),
  );
}

for (const [id, [, action, field]] of Object.entries(SWITCHES)) {
  $(id).onchange = ({ target }) => attempt(() => api.tell(view.phone, action, { [field]: target.checked }));
}
$('conflict').onclick = () => attempt(() => api.tell(view.phone, 'conflict'), say('conflictDone'));
onSubmit('outage', ({ seconds }) => api.cutNetwork(Number(seconds)));
onSubmit('sync', ({ seconds }) => api.tell(view.phone, 'sync', { seconds: seconds === '' ? null : Number(seconds) }));
onSubmit('lose', ({ operation, lose, count }) =>
  api.loseFrames(view.phone, { operation, lose, count: Number(count) }),
);
onSubmit('unregister', async ({ number }, form) => {
  await api.setRegistration(view.phone, digits(number), true);
  form.reset();
});
