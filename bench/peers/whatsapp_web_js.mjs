// whatsapp-web.js as published and as its documentation starts it, answering every message with its own text.
import whatsapp from 'whatsapp-web.js';

import { options, serve } from './commands.mjs';

const { Client, LocalAuth } = whatsapp;

serve(async (name, tell) => {
  const client = new Client({
    authStrategy: new LocalAuth({ clientId: name, dataPath: options.directory }),
    // The sandbox's page is the one that is served; no other one is to be fetched.
    webVersionCache: { type: 'none' },
    puppeteer: { executablePath: options.chromium, headless: true, args: options.browserArguments },
  });
  client.on('qr', (qr) => tell('qr', { qr }));
  client.once('ready', () => tell('ready'));
  client.once('auth_failure', (cause) => tell('failed', { cause }));
  client.on('message', (message) => client.sendMessage(message.from, message.body));
  await client.initialize();
  return { close: () => client.destroy() };
});
