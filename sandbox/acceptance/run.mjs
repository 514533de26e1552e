// Run the scenario with each client in turn; see `run`.
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { Phone, Sandbox } from './sandbox.mjs';
import { runScenario } from './scenario.mjs';

const CLIENTS = {
  'whatsapp-web.js': { module: './whatsapp_web_js.mjs', number: '5491144440001' },
  wppconnect: { module: './wppconnect.mjs', number: '5491144440002' },
};
const DEADLINE_MS = 240_000;

async function run(names) {
  const directory = await mkdtemp(path.join(os.tmpdir(), 'flame-acceptance-'));
  const sandbox = await Sandbox.start(directory);
  try {
    for (const name of names) {
      const { module, number } = CLIENTS[name];
      const { makeDriver } = await import(module);
      const say = (step) => console.log(`${name}: ${step}`);
      const phone = new Phone(sandbox, number, `Owner of ${name}`);
      const open = makeDriver({ sandbox, directory, chromium: process.env.FLAME_CHROMIUM });
      await runScenario({ phone, open, say });
    }
  } finally {
    await sandbox.stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(CLIENTS);
const unknown = names.filter((name) => !(name in CLIENTS));
if (unknown.length) {
  console.error(`no such client: ${unknown.join(', ')}; there are ${Object.keys(CLIENTS).join(', ')}`);
  process.exit(2);
}
setTimeout(() => {
  console.error('deadline: the clients took too long');
  process.exit(1);
}, DEADLINE_MS).unref();
try {
  await run(names);
  console.log('all clients passed');
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
