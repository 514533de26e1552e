// Addresses: user@server, with an optional device.
__d('WAWebWid', [], (exports) => {
  const SERVERS = 'c\\.us|s\\.whatsapp\\.net|lid|g\\.us|broadcast|newsletter|bot|hosted|call';
  const FORM = new RegExp(`^(\\d[\\d-]*|status|0|[\\w.+-]+?)(?:[:.](\\d+))?@(${SERVERS})$`);

  exports.default = class Wid {
    constructor(text) {
      const match = FORM.exec(String(text).replace('@s.whatsapp.net', '@c.us'));
      if (!match) throw new Error('wid error: invalid wid');
      const [, user, device, server] = match;
      this.server = server;
      this.user = user;
      if (device !== undefined) this.device = Number(device);
      this._serialized = `${user}${device !== undefined ? `:${device}` : ''}@${server}`;
    }

    toString() { return this._serialized; }
    toJSON() { return this._serialized; }
    toJid() { return this._serialized.replace('@c.us', '@s.whatsapp.net'); }
    toLogString() { return this._serialized; }
    equals(other) { return !!other && String(other) === this._serialized; }
    isUser() { return ['c.us', 'lid', 'bot', 'hosted'].includes(this.server); }
    isRegularUser() { return this.server === 'c.us' && !this.isPSA(); }
    isRegularUserPn() { return this.isRegularUser(); }
    isLid() { return this.server === 'lid'; }
    isGroup() { return this.server === 'g.us'; }
    isBroadcast() { return this.server === 'broadcast'; }
    isStatus() { return this._serialized === 'status@broadcast'; }
    isStatusV3() { return this.isStatus(); }
    isNewsletter() { return this.server === 'newsletter'; }
    isBot() { return this.server === 'bot'; }
    isPSA() { return this._serialized === '0@c.us'; }
    isServer() { return this.server === 's.whatsapp.net' && !this.user; }
    isCAPISupportAccount() { return false; }
    isHosted() { return this.server === 'hosted'; }
    isGroupCall() { return this.server === 'call'; }
    isSameAccountAndAddressingMode(other) { return this.equals(other); }
    isEligibleForUSync() { return this.isUser(); }

    static isXWid(server, wid) { return String(wid).endsWith(`@${server}`); }
    static isWid(wid) { return FORM.test(String(wid)); }
    static isUser(wid) { return /@(c\.us|lid)$/.test(String(wid)); }
    static isLid(wid) { return this.isXWid('lid', wid); }
    static isGroup(wid) { return this.isXWid('g.us', wid); }
    static isBroadcast(wid) { return this.isXWid('broadcast', wid); }
    static isNewsletter(wid) { return this.isXWid('newsletter', wid); }
    static isStatusV3(wid) { return String(wid) === 'status@broadcast'; }
    static isStatus(wid) { return this.isStatusV3(wid); }
    static equals(a, b) { return String(a) === String(b); }
  };
});

__d('WAWebWidFactory', [], (exports, require) => {
  const Wid = require('WAWebWid');
  const known = new Map();

  exports.createWid = (text) => {
    if (text instanceof Wid) return text;
    if (typeof text !== 'string') throw new Error(`wid error: createWid called with ${typeof text}`);
    if (!known.has(text)) known.set(text, new Wid(text));
    return known.get(text);
  };
  exports.isWidlike = (x) =>
    x instanceof Wid ||
    (!!x && typeof x === 'object' && typeof x._serialized === 'string' && typeof x.server === 'string');
  exports.createWidFromWidLike = (x) => (x instanceof Wid ? x : exports.createWid(x._serialized));
  exports.createUserWid = (user, server = 'c.us') => exports.createWid(user.includes('@') ? user : `${user}@${server}`);
  exports.createUserWidOrThrow = exports.createUserWid;
  exports.createDeviceWid = exports.createWid;
  exports.toUserWid = (wid) => exports.createWid(`${wid.user}@${wid.server}`);
  exports.toUserWidOrThrow = exports.toUserWid;
  exports.asUserWidOrThrow = exports.toUserWid;
  exports.toChatWid = exports.toUserWid;
  exports.userJidToUserWid = (jid) => exports.createWid(jid);
  exports.toUserLidOrThrow = (wid) => {
    if (!wid.isLid()) throw new Error('not a lid');
    return wid;
  };
});
