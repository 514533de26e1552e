// What every client must be able to do. A driver adapts one client to it:
//   open() → { needsCode: promise of a QR text, isReady: promise, codes: QR texts so far, received: texts so far,
//              files: functions that download what came so far, as base64, send(chat, text), logout(), close() }
import assert from 'node:assert/strict';

import { waitFor, within } from './sandbox.mjs';

const CUSTOMER = '5491155550001';
const CHAT = `${CUSTOMER}@c.us`;

export async function runScenario({ phone, open, say }) {
  const receive = async (session, text) => {
    const { id } = await phone.receive({ from: CUSTOMER, pushname: 'Ana', body: text });
    await waitFor(`the client receives "${text}"`, () => session.received.includes(text));
    await phone.waitForEvent('delivered', (event) => event.id === id);
    assert.equal(session.received.filter((received) => received === text).length, 1, 'a message was received twice');
  };
  const receiveFile = async (session, data) => {
    await phone.receive({ from: CUSTOMER, media: { data, mimetype: 'image/jpeg', caption: 'foto' } });
    await waitFor('the client receives a file', () => session.files.length === 1);
    assert.equal(await within('the client downloads it', session.files[0]()), data);
  };
  const send = async (session, text) => {
    await within('the client sends', session.send(CHAT, text));
    const [event] = await phone.waitForEvent('sent', (sent) => sent.body === text);
    assert.equal(event.number, CUSTOMER);
    assert.equal(event.copies, 1);
  };

  let session = await open();
  try {
    await phone.scan(await within('the client shows a QR code', session.needsCode));
    await within('the client is ready', session.isReady);
    await phone.waitForEvent('linked');
    say('logged in by QR code');
    await receive(session, 'hola');
    say('received');
    await receiveFile(session, Buffer.from('not really a picture').toString('base64'));
    say('downloaded a file');
    await send(session, 'buenas');
    say('sent');

    await session.close();
    session = await open();
    await within('the client is ready again', session.isReady);
    await phone.waitForEvent('device_ready', () => true, 2);
    assert.deepEqual(session.codes, [], 'a QR code was shown to a profile that is linked');
    assert.equal((await phone.events('linked')).length, 1);
    await receive(session, 'otra vez');
    await send(session, 'aquí sigo');
    say('reconnected without a QR code, received and sent');

    await within('the client logs out', session.logout());
    const [unlinked] = await phone.waitForEvent('unlinked');
    assert.equal(unlinked.reason, 'user_initiated');
    say('logged out');
  } finally {
    await session.close().catch(() => {});
  }
}
