// A sandbox of its own for the clients, and its phone.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const START_MS = 30_000;
const STEP_MS = 60_000;
const POLL_MS = 100;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Poll until `look` gives something true; the error names `what`. */
export async function waitFor(what, look, ms = STEP_MS) {
  for (const ends = Date.now() + ms; ; await sleep(POLL_MS)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > ends) throw new Error(`not within ${ms / 1000} s: ${what}`);
  }
}

/** Bound a promise of a client. */
export function within(what, promise, ms = STEP_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms / 1000} s: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function findFreePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(String(port)));
    });
  });
}

export class Sandbox {
  static async start(directory) {
    const [http, tls, smtp] = [await findFreePort(), await findFreePort(), await findFreePort()];
    const child = spawn(path.join(REPOSITORY, '.venv/bin/python'), ['-m', 'sandbox'], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        FLAME_DATA_DIRECTORY: directory,
        FLAME_SANDBOX_PORT: http,
        FLAME_SANDBOX_TLS_PORT: tls,
        FLAME_SANDBOX_SMTP_PORT: smtp,
      },
    });
    const sandbox = new Sandbox(child, `http://127.0.0.1:${http}`, tls);
    try {
      await waitFor(
        'the sandbox answers',
        async () => {
          if (child.exitCode !== null) throw new Error(`the sandbox ended with ${child.exitCode}`);
          return (await fetch(`${sandbox.url}/health`).catch(() => null))?.ok;
        },
        START_MS,
      );
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    return sandbox;
  }

  constructor(child, url, tlsPort) {
    this.child = child;
    process.once('exit', () => child.kill('SIGKILL'));
    this.url = url;
    this.browserArguments = [
      '--no-sandbox',
      `--host-resolver-rules=MAP web.whatsapp.com:443 127.0.0.1:${tlsPort}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
      '--ignore-certificate-errors',
    ];
  }

  async stop() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.exitCode !== null) return;
    this.child.kill('SIGTERM');
    await within('the sandbox stops', ended).catch(() => this.child.kill('SIGKILL'));
  }
}

export class Phone {
  constructor(sandbox, number, name) {
    this.sandbox = sandbox;
    this.number = number;
    this.name = name;
  }

  async request(path, body) {
    const options = body && { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`${this.sandbox.url}/phone/api${path}`, options);
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  scan(qr) { return this.request('/pair', { phone: this.number, name: this.name, qr }); }
  receive(message) { return this.request(`/${this.number}/incoming`, message); }
  events(kind) { return this.request(`/${this.number}/events?kind=${kind}`); }

  /** Wait for the n-th event of a kind that fits. */
  waitForEvent(kind, fits = () => true, count = 1) {
    return waitFor(`event ${kind} (${count}) on the phone`, async () => {
      const events = (await this.events(kind)).filter(fits);
      return events.length >= count && events;
    });
  }
}
