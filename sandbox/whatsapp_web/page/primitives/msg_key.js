// The id of a message: direction, chat, id, and in groups who wrote it.
__d('WAWebMsgKey', [], (exports, require) => {
  const { createWid } = require('WAWebWidFactory');

  exports.default = class MsgKey {
    constructor(options) {
      if (!options) throw new Error('MsgKey error: obj is null/undefined');
      this.fromMe = options.selfDir ? options.selfDir === 'out' : !!options.fromMe;
      const remote = options.remote || (options.selfDir === 'out' ? options.to : options.from);
      this.remote = typeof remote === 'string' ? createWid(remote) : remote;
      this.id = options.id;
      if (options.participant) this.participant = options.participant;
      if (options.selfDir) this.self = options.selfDir;
      const parts = [this.fromMe, this.remote, this.id];
      this._serialized = parts.concat(options.participant ? [options.participant] : []).join('_');
    }

    toString() { return this._serialized; }
    clone() { return new MsgKey(this); }
    equals(other) { return String(other) === this._serialized; }

    static from(x) {
      if (x instanceof MsgKey) return x;
      return typeof x === 'string' ? MsgKey.fromString(x) : new MsgKey(x);
    }

    static fromString(text) {
      const [fromMe, remote, id, participant] = String(text).split('_');
      if (id === undefined) throw new Error('invalid message key');
      return new MsgKey({
        fromMe: fromMe === 'true',
        remote: createWid(remote),
        id,
        participant: participant && createWid(participant),
      });
    }

    static async newId() {
      const bytes = [...crypto.getRandomValues(new Uint8Array(9))];
      return '3EB0' + bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('').toUpperCase();
    }
  };
});
