// wppconnect as published: many sessions in one process, answering every message with its own text.
import path from 'node:path';

import wppconnect from '@wppconnect-team/wppconnect';
import defaults from '@wppconnect-team/wppconnect/dist/config/puppeteer.config.js';

import { options, serve } from './commands.mjs';

wppconnect.defaultLogger.level = 'error';

serve(async (name, tell) => {
  const client = await wppconnect.create({
    session: name,
    headless: true,
    useChrome: false,
    logQR: false,
    updatesLog: false,
    disableWelcome: true,
    autoClose: 0,
    waitForLogin: false,
    // The sandbox's page is the one that is served; no other one is to be pinned.
    whatsappVersion: '',
    browserArgs: [...defaults.puppeteerConfig.chromiumArgs, ...options.browserArguments],
    puppeteerOptions: { executablePath: options.chromium, userDataDir: path.join(options.directory, name) },
    catchQR: (picture, ascii, attempt, qr) => tell('qr', { qr }),
  });
  await client.onMessage((message) => client.sendText(message.from, message.body));
  client.waitForLogin().then((isLogged) => tell(isLogged ? 'ready' : 'failed', isLogged ? {} : { cause: 'no login' }));
  return { close: () => client.close() };
});
