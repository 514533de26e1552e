// What every peer's program has in common: options as JSON in its first argument; `start NAME` and `stop NAME` on stdin;
// a line of JSON on stdout for everything that happens; the end of stdin ends it.
import readline from 'node:readline';

export const options = JSON.parse(process.argv[2] ?? '{}');

/** Open sessions by name with `open(name, tell)`, which resolves to { close } as soon as the session can be closed. */
export function serve(open) {
  const sessions = new Map();
  const commands = {
    start: async (name, tell) => sessions.set(name, await open(name, tell)),
    stop: async (name, tell) => {
      await sessions.get(name).close();
      sessions.delete(name);
      tell('stopped');
    },
  };
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const [command, name] = line.split(' ');
    const tell = (event, facts = {}) => console.log(JSON.stringify({ event, name, ...facts }));
    commands[command](name, tell).catch((error) => tell('failed', { cause: String(error?.stack ?? error) }));
  });
  lines.on('close', async () => {
    await Promise.allSettled([...sessions.values()].map((session) => session.close()));
    process.exit(0);
  });
}
