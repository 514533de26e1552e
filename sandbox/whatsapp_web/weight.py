"""Dead weight for the page, so that what is measured with it does not flatter: script to compile and run, live heap.

Every client's browser pays for it alike. The script is made of modules as the page's own are: all are evaluated and
stay reachable, and of every third one the functions run, as in real pages much is there and never used. The heap is
made of records as a page keeps of messages.
"""

from collections.abc import Iterator

MEGABYTE = 1_000_000
RECORDS_PER_MEGABYTE = 1_000

_MODULE = """\
__d('SandboxWeight%(n)d', [], (exports) => {
  const table = { n: %(n)d, name: 'part %(n)d', seen: new Map(), list: [] };
%(functions)s
  exports.table = table;
  exports.run = () => {
    for (let i = 0; i < 4; i += 1) table.list.push([%(calls)s]);
    return table.list.length;
  };
  if (%(n)d %% 3 === 0) exports.run();
});
"""
_FUNCTION = """\
  function step%(k)d(value, options) {
    const entry = { id: %(n)d * 31 + %(k)d + value, label: 'item %(n)d.%(k)d' };
    entry.flags = [value, options.deep, !options.flat];
    if (entry.id %% %(odd)d === %(k)d && options.deep) entry.label = entry.label.toUpperCase() + String(value);
    for (const [key, item] of table.seen) if (item.id === entry.id) entry.flags.push(key.length, item.flags.length);
    switch (value & 3) {
      case 0: table.seen.set('a%(k)d', entry); break;
      case 1: table.seen.set('b%(k)d', { ...entry, next: null }); break;
      default: table.seen.delete('c' + value);
    }
    return entry;
  }
"""
_FUNCTIONS = 6

_START = """\
(() => {
  for (const id of Object.keys(require('__debug').modulesMap)) if (/^SandboxWeight[0-9]/.test(id)) require(id);
  const records = [];
  const letters = new Uint8Array(400).fill(97);
  const decoder = new TextDecoder('latin1');
  for (let i = 0; i < %(records)d; i += 1) {
    const numbers = [];
    for (let k = 0; k < 30; k += 1) numbers.push(i + k / 7);
    letters[i %% 400] = 98 + (i %% 24);
    records.push({
      id: `true_${5491100000000 + i}@c.us_${i.toString(16)}`,
      t: 1.5e9 + i / 3,
      body: decoder.decode(letters),
      ack: i %% 4,
      numbers,
      flags: { seen: i %% 2 === 0, starred: false, labels: [i, i + 1] },
    });
  }
  __d('SandboxWeightHeap', [], (exports) => { exports.records = records; });
  require('SandboxWeightHeap');
})();
"""


def make_scripts(script_mb: float, heap_mb: float) -> Iterator[str]:
    """The scripts that a page loads before its own start, in order; none when nothing is to be carried.

    Args:
        script_mb: source text that the browser compiles and runs, in megabytes; up to one is in each script.
        heap_mb: live objects that the page keeps, in megabytes, beside those of the modules.
    """
    if script_mb <= 0 and heap_mb <= 0:
        return
    parts: list[str] = []
    total = size = number = 0
    while total < script_mb * MEGABYTE:
        parts.append(_make_module(number))
        number += 1
        size += len(parts[-1])
        total += len(parts[-1])
        if size >= MEGABYTE:
            yield "".join(parts)
            parts, size = [], 0
    yield "".join(parts) + _START % {"records": round(heap_mb * RECORDS_PER_MEGABYTE)}


def _make_module(number: int) -> str:
    functions = "".join(_FUNCTION % {"n": number, "k": k, "odd": 2 * k + 7} for k in range(_FUNCTIONS))
    calls = ", ".join(f"step{k}(i, {{ deep: i > 1, flat: false }})" for k in range(_FUNCTIONS))
    return _MODULE % {"n": number, "functions": functions, "calls": calls}
