// wppconnect, as published.
import path from 'node:path';

import wppconnect from '@wppconnect-team/wppconnect';

wppconnect.defaultLogger.level = 'error';

export function makeDriver({ sandbox, directory, chromium }) {
  return async () => {
    const codes = [];
    const received = [];
    const files = [];
    let showCode;
    const needsCode = new Promise((resolve) => {
      showCode = resolve;
    });
    const options = {
      session: 'acceptance',
      headless: true,
      useChrome: false,
      logQR: false,
      updatesLog: false,
      disableWelcome: true,
      autoClose: 0,
      waitForLogin: false,
      whatsappVersion: '',
      browserArgs: sandbox.browserArguments,
      puppeteerOptions: { executablePath: chromium, userDataDir: path.join(directory, 'wppconnect') },
      catchQR: (picture, ascii, attempt, qr) => {
        codes.push(qr);
        showCode(qr);
      },
    };
    const client = await wppconnect.create(options);
    await client.onMessage((message) => {
      if (message.mimetype) files.push(async () => (await client.downloadMedia(message)).split(',')[1]);
      else received.push(message.body);
    });
    const isReady = client.waitForLogin().then(async (isLogged) => {
      if (!isLogged) throw new Error('not logged in');
      // wppconnect does not wait for its own listeners (HostLayer.afterPageLoad); a message before them never reaches onMessage.
      await client.page.waitForFunction(() => window.onMessage?.exposed);
    });
    return {
      codes,
      received,
      files,
      needsCode,
      isReady,
      send: (chat, text) => client.sendText(chat, text),
      logout: () => client.logout(),
      close: async () => {
        if (client.page.browser().connected) await client.close();
      },
    };
  };
}
