// The runner's side of the page: subscribes to wa-js and offers the functions that Python calls by name.
// Everything that crosses is plain JSON; ids are strings. `flameEvent` is Python's function in the page.
(() => {
  if (window.top !== window || window.flame) return;

  const within = (promise, ms) =>
    Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error('timeout')), ms))]);
  const text = (value) => (value === undefined || value === null ? null : String(value));
  const tell = (name, payload) => window.flameEvent(name, payload).catch(() => {});
  const SYSTEM = new Set([
    'ciphertext', 'e2e_notification', 'notification', 'notification_template', 'gp2', 'protocol', 'call_log',
    'revoked', 'debug', 'broadcast_notification', 'unknown', 'reaction', 'keep_in_chat', 'pin_message',
  ]);
  let subscribed = false;

  const isMe = (id) => {
    const bare = (wid) => String(wid || '').replace(/:\d+(?=@)/, '');
    return [WPP.conn.getMyUserWid?.(), WPP.conn.getMyUserLid?.()].some((me) => me && bare(me) === bare(id));
  };

  const phoneOf = async (wid) => {
    if (/@c\.us$/.test(wid)) return wid.split('@')[0];
    if (!/@lid$/.test(wid)) return null;
    try {
      const entry = await within(WPP.contact.getPnLidEntry(wid), 3000);
      const number = entry?.phoneNumber;
      return number ? String(number._serialized || number).split('@')[0] : null;
    } catch {
      return null;
    }
  };

  const describe = async (msg) => {
    const fromMe = Boolean(msg.id.fromMe);
    const chat = String(msg.id.remote || (fromMe ? msg.to : msg.from));
    const type = String(msg.type || 'unknown');
    return {
      id: String(msg.id),
      chat,
      type,
      text: text((type === 'chat' ? msg.body : msg.caption) || '') || '',
      t: Number(msg.t) || 0,
      fromMe,
      self: isMe(chat),
      broadcast: !/@(c\.us|lid)$/.test(chat) || Boolean(msg.isStatusV3),
      system: SYSTEM.has(type) || Boolean(msg.subtype === 'message_edit'),
      name: fromMe ? null : text(msg.notifyName || msg.senderObj?.pushname) || null,
      phone: fromMe ? null : await phoneOf(chat),
    };
  };

  const ackName = (ack) => (ack < 0 ? 'failed' : ack === 0 ? 'pending' : ack === 1 ? 'server' : ack === 2 ? 'delivered' : 'read');

  const subscribe = () => {
    if (subscribed || !window.WPP?.isReady) return;
    subscribed = true;
    const nudge = () => tell('state', null);
    for (const name of [
      'conn.auth_code_change', 'conn.authenticated', 'conn.logout', 'conn.stream_mode_changed',
      'conn.stream_info_changed', 'conn.qrcode_idle', 'conn.main_ready', 'conn.main_loaded', 'conn.online',
    ]) WPP.on(name, nudge);
    WPP.on('conn.logout_reason', (reason) => tell('logout', text(reason)));
    WPP.on('chat.new_message', async (msg) => tell('message', await describe(msg)));
    WPP.on('chat.msg_ack_change', ({ ack, ids }) => {
      for (const id of ids || []) if (id.fromMe !== false) tell('ack', { id: String(id), ack: ackName(ack) });
    });
    nudge();
  };
  const waiting = setInterval(() => {
    subscribe();
    if (subscribed) clearInterval(waiting);
  }, 200);

  window.flame = {
    // Everything that decides the session's state, read at one moment.
    async status() {
      if (!subscribed) return { ready: false, loader: Boolean(window.WPP?.isInjected), title: document.title };
      const { Stream, Conn, Socket } = WPP.whatsapp;
      const authenticated = Boolean(WPP.conn.isAuthenticated());
      const code = authenticated ? null : await within(WPP.conn.getAuthCode(), 3000).catch(() => null);
      const me = authenticated ? WPP.conn.getMyUserWid() : null;
      let progress = null;
      try {
        progress = WPP.conn.getHistorySyncProgress().progress;
      } catch {
        progress = null;
      }
      return {
        ready: true,
        authenticated,
        mode: text(Stream.mode),
        socket: text(Socket?.state),
        idle: Boolean(WPP.conn.isIdle()),
        code: code?.fullCode || null,
        codeTtl: Number(Conn?.refTTL) || null,
        phone: me ? String(me.user || me).split('@')[0].split(':')[0] : null,
        name: text(Conn?.pushname),
        progress: typeof progress === 'number' ? Math.max(0, Math.min(100, Math.round(progress))) : null,
      };
    },

    async refreshCode() {
      await within(WPP.conn.refreshQR(), 20000);
      return true;
    },

    async logout() {
      await within(WPP.conn.logout(), 15000);
      return true;
    },

    async newMessageId({ chat }) {
      return String(await WPP.chat.generateMessageID(chat));
    },

    async send({ chat, text: body, id }) {
      const sent = await WPP.chat.sendTextMessage(chat, body, {
        createChat: true, linkPreview: false, markIsRead: false, detectMentioned: false, waitForAck: true, messageId: id,
      });
      const result = await sent.sendMsgResult;
      return { result: text(result?.messageSendResult ?? result), id: String(sent.id) };
    },

    // How far a message of ours got; null when it is certainly not there. Fails when that cannot be told.
    async find({ chat, id }) {
      // The list of chats is complete once the page is synchronised: no chat, no message.
      if (!WPP.chat.get(chat)) return null;
      try {
        const msg = await within(WPP.chat.getMessageById(id), 5000);
        if (msg) return ackName(msg.ack);
      } catch (error) {
        if (error?.code === 'msg_not_found') return null;
      }
      // Not every version of the page can search: read the chat's newest messages then.
      const newest = [];
      for (const direction of ['before', 'after']) {
        newest.push(...(await within(WPP.chat.getMessages(chat, { count: 50, direction }), 5000)));
      }
      if (!newest.length) throw new Error('the chat has no messages to compare with');
      const msg = newest.find((each) => String(each.id) === id);
      return msg ? ackName(msg.ack) : null;
    },

    async markRead({ chat }) {
      await within(WPP.chat.markIsRead(chat), 5000);
      return true;
    },

    // Not awaited: wa-js resolves only when the typing ends.
    async showTyping({ chat, ms }) {
      WPP.chat.markIsComposing(chat, ms).catch(() => {});
      return true;
    },

    // What came while nobody listened: newer than `since` (seconds), oldest first. The page emits no events for it.
    async missed({ since, chats: limit, messages: count }) {
      const found = new Map();
      const add = (msg) => {
        if (msg?.id && Number(msg.t) >= since) found.set(String(msg.id), msg);
      };
      const recent = (await WPP.chat.list())
        .filter((chat) => /@(c\.us|lid)$/.test(String(chat.id)) && (Number(chat.t) >= since || chat.hasUnread))
        .sort((a, b) => Number(b.t) - Number(a.t))
        .slice(0, limit);
      for (const chat of recent) {
        for (const options of [{ count }, ...(chat.hasUnread ? [{ onlyUnread: true, count: -1 }] : [])]) {
          try {
            for (const msg of await within(WPP.chat.getMessages(chat.id, options), 15000)) add(msg);
          } catch (error) {
            console.warn('messages of a chat could not be read', error?.message);
          }
        }
      }
      const described = [];
      for (const msg of found.values()) described.push(await describe(msg));
      return described.sort((a, b) => a.t - b.t);
    },
  };
})();
