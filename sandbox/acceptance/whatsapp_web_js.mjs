// whatsapp-web.js, as published.
import path from 'node:path';

import whatsapp from 'whatsapp-web.js';

const { Client, LocalAuth } = whatsapp;

export function makeDriver({ sandbox, directory, chromium }) {
  return async () => {
    const client = new Client({
      authStrategy: new LocalAuth({ dataPath: path.join(directory, 'whatsapp-web.js') }),
      webVersionCache: { type: 'none' },
      puppeteer: { executablePath: chromium, headless: true, args: sandbox.browserArguments },
    });
    const codes = [];
    const received = [];
    const files = [];
    client.on('message', (message) => {
      if (message.hasMedia) files.push(async () => (await message.downloadMedia()).data);
      else received.push(message.body);
    });
    const needsCode = new Promise((resolve) => {
      client.on('qr', (qr) => {
        codes.push(qr);
        resolve(qr);
      });
    });
    const isReady = new Promise((resolve, reject) => {
      client.once('ready', resolve);
      client.once('auth_failure', (cause) => reject(new Error(`auth_failure: ${cause}`)));
    });
    await client.initialize();
    return {
      codes,
      received,
      files,
      needsCode,
      isReady,
      send: (chat, text) => client.sendMessage(chat, text),
      logout: () => client.logout(),
      close: async () => {
        if (client.pupBrowser?.connected) await client.destroy();
      },
    };
  };
}
