// The runner's side of the page: subscribes to wa-js and offers the functions that Python calls by name.
// Everything that crosses is plain JSON; ids are strings. `flameEvent` is Python's function in the page.
(() => {
  if (window.top !== window || window.flame) return;

  const within = (promise, ms) =>
    Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error('timeout')), ms))]);
  const text = (value) => (value === undefined || value === null ? null : String(value));
  const tell = (name, payload) => window.flameEvent(name, payload).catch(() => {});
  const SYSTEM = new Set([
    'e2e_notification', 'notification', 'notification_template', 'gp2', 'protocol', 'call_log',
    'revoked', 'debug', 'broadcast_notification', 'unknown', 'reaction', 'keep_in_chat', 'pin_message',
  ]);
  // Kinds whose words are in `body`; that of the others is a picture or a file in base64.
  const WORDS = new Set(['chat', 'list_response', 'buttons_response', 'template_button_reply']);
  const FILES = new Set(['image', 'video', 'audio', 'ptt', 'document', 'sticker', 'ptv']);
  let subscribed = false;
  let setAtWork;
  // wa-js is at work a moment after the first code is there.
  const atWork = new Promise((resolve) => {
    setAtWork = resolve;
  });
  let loggedOut = /[?&]post_logout=/.test(location.search);

  const isMe = (id) => {
    const bare = (wid) => String(wid || '').replace(/:\d+(?=@)/, '');
    return [WPP.conn.getMyUserWid?.(), WPP.conn.getMyUserLid?.()].some((me) => me && bare(me) === bare(id));
  };

  const isPromise = (value) => typeof value?.then === 'function';
  // Now where the value is there, later where it is a promise.
  const after = (value, then) => (isPromise(value) ? value.then(then) : then(value));

  const lookUpPhone = async (lid) => {
    try {
      const entry = await within(WPP.contact.getPnLidEntry(lid), 3000);
      const number = entry?.phoneNumber;
      return number ? String(number._serialized || number).split('@')[0] : null;
    } catch {
      return null;
    }
  };
  const phoneOf = (wid) => {
    if (/@c\.us$/.test(wid)) return wid.split('@')[0];
    return /@lid$/.test(wid) ? lookUpPhone(wid) : null;
  };

  // A message's key is an object of the page's own, or its plain copy, or its text already.
  const keyText = (key) => {
    if (!key || typeof key === 'string') return key || null;
    if (key._serialized) return String(key._serialized);
    return key.remote && key.id ? `${Boolean(key.fromMe)}_${key.remote}_${key.id}` : String(key);
  };
  const chatOf = (key) => text(key?.remote) || (keyText(key) || '').split('_')[1] || null;
  const positive = (value) => (Number(value) > 0 ? Number(value) : null);
  const isPerson = (chat) => /@(c\.us|lid)$/.test(chat);

  const textOf = (msg, type) => {
    if (WORDS.has(type)) return text(msg.body) || '';
    if (type === 'poll_creation') return text(msg.pollName) || '';
    if (type === 'vcard') return text(msg.vcardFormattedName) || '';
    if (type === 'location') return text(msg.loc) || text(msg.caption) || '';
    return text(msg.caption) || '';
  };

  const mediaOf = (msg, type) =>
    FILES.has(type)
      ? {
          mimetype: text(msg.mimetype) || null,
          filename: text(msg.filename) || null,
          size: positive(msg.size),
          duration_s: positive(msg.duration),
        }
      : null;

  const quotedOf = (msg, chat) => {
    if (!msg.quotedStanzaID) return null;
    return `${isMe(msg.quotedParticipant)}_${text(msg.quotedRemoteJid) || chat}_${msg.quotedStanzaID}`;
  };

  const describe = (msg) => {
    const fromMe = Boolean(msg.id.fromMe);
    const chat = String(msg.id.remote || (fromMe ? msg.to : msg.from));
    const type = String(msg.type || 'unknown');
    const message = {
      id: String(msg.id),
      chat,
      type,
      text: textOf(msg, type),
      t: Number(msg.t) || 0,
      fromMe,
      self: isMe(chat),
      broadcast: !isPerson(chat) || Boolean(msg.isStatusV3),
      system: SYSTEM.has(type) || Boolean(msg.subtype === 'message_edit'),
      undecrypted: type === 'ciphertext',
      quoted: quotedOf(msg, chat),
      media: mediaOf(msg, type),
      name: fromMe ? null : text(msg.notifyName || msg.senderObj?.pushname) || null,
    };
    return after(fromMe ? null : phoneOf(chat), (phone) => ({ ...message, phone }));
  };

  // An id for an answer travels with the message that may get one: nobody has to come back and ask. What is random in
  // it says nothing of the chat, so it is made ahead; who comes before it is there waits for one.
  const newKey = (chat) => WPP.chat.generateMessageID(chat).catch(() => null);
  let random = null;
  const newReplyId = (chat) => {
    const ahead = random;
    random = null;
    newKey(chat).then((key) => {
      random = text(key?.id);
    });
    return ahead ? `true_${chat}_${ahead}` : newKey(chat).then(text);
  };

  // What happened to a message that is there already; `at` in seconds.
  const now = () => Date.now() / 1000;
  const inSeconds = (time) => (Number(time) > 1e11 ? Number(time) / 1000 : Number(time)) || now();
  const edited = (msg) => ({
    change: 'edited',
    id: String(msg.id),
    chat: String(msg.id.remote),
    text: textOf(msg, String(msg.type)),
    at: inSeconds(msg.latestEditSenderTimestampMs),
    fromMe: Boolean(msg.id.fromMe),
  });
  const revoked = ({ id, refId, by, at }) => ({
    change: 'revoked',
    id: keyText(refId),
    chat: chatOf(refId) || chatOf(id),
    text: '',
    at: inSeconds(at),
    fromMe: Boolean(by?.fromMe),
  });
  const reaction = ({ msgId, reactionText, sender, timestamp }) => ({
    change: 'reaction',
    id: keyText(msgId),
    chat: chatOf(msgId),
    text: text(reactionText) || '',
    at: inSeconds(timestamp),
    fromMe: isMe(sender),
  });

  // Told at once, before the page goes on with what it is about. Describing takes its time where an address has to be
  // looked up: whatever follows waits for it.
  let told = Promise.resolve();
  let waiting = 0;
  const tellInOrder = (name, describing) => {
    const fail = (error) => console.warn(name, error?.message);
    try {
      const described = describing();
      if (!waiting && !isPromise(described)) {
        tell(name, described);
        return;
      }
      waiting += 1;
      told = Promise.all([described, told])
        .then(([payload]) => tell(name, payload))
        .catch(fail)
        .finally(() => {
          waiting -= 1;
        });
    } catch (error) {
      fail(error);
    }
  };
  const tellChange = (describing) =>
    tellInOrder('change', () => {
      const change = describing();
      if (!change.id || !isPerson(change.chat || '')) throw new Error('not of a chat with one person');
      return change;
    });

  const ackName = (ack) => (ack < 0 ? 'failed' : ack === 0 ? 'pending' : ack === 1 ? 'server' : ack === 2 ? 'delivered' : 'read');

  const subscribe = () => {
    if (subscribed || !window.WPP?.isReady) return;
    subscribed = true;
    setAtWork();
    const nudge = () => tell('state', null);
    for (const name of [
      'conn.auth_code_change', 'conn.authenticated', 'conn.needs_update', 'conn.stream_mode_changed',
      'conn.stream_info_changed', 'conn.qrcode_idle', 'conn.main_ready', 'conn.main_loaded', 'conn.online',
    ]) WPP.on(name, nudge);
    WPP.on('conn.logout', () => {
      loggedOut = true;
      tell('logout', null);
    });
    WPP.on('conn.logout_reason', (reason) => tell('logout', text(reason)));
    WPP.on('chat.new_message', (msg) =>
      tellInOrder('message', () =>
        after(describe(msg), (message) =>
          after(message.fromMe ? null : newReplyId(message.chat), (replyId) => ({ ...message, replyId })),
        ),
      ),
    );
    WPP.on('chat.msg_edited', ({ msg }) => tellChange(() => edited(msg)));
    WPP.on('chat.msg_revoke', ({ id, refId }) => tellChange(() => revoked({ id, refId, by: id })));
    WPP.on('chat.new_reaction', (event) => tellChange(() => reaction(event)));
    WPP.on('chat.msg_ack_change', ({ ack, ids }) => {
      for (const id of ids || []) if (id.fromMe !== false) tell('ack', { id: String(id), ack: ackName(ack) });
    });
    nudge();
  };
  window.WPP?.loader.onReady(subscribe);

  const pageVersion = () => {
    try {
      return text(WPP.conn.getBuildConstants()?.VERSION_STR) || text(window.Debug?.VERSION);
    } catch {
      return text(window.Debug?.VERSION);
    }
  };

  // What the page draws for the phone, which has had more in it than wa-js knows of, and is there before wa-js is at work.
  const drawnCode = () => text(document.querySelector('[data-ref]:has(canvas)')?.getAttribute('data-ref')) || null;
  let drawn = null;
  const watching = setInterval(() => {
    const code = drawnCode();
    if (code === drawn) return;
    drawn = code;
    tell('state', null);
  }, 100);

  const markRead = (chat) => {
    WPP.chat.markIsRead(chat).catch((error) => console.warn('not marked read', error?.message));
  };

  const isOnline = () => WPP.whatsapp.Stream.mode === 'MAIN';

  window.flame = {
    // Everything that decides the session's state, read at one moment.
    async status() {
      const versions = { version: pageVersion(), supported: text(window.WPP?.supportedWhatsappWeb) };
      if (!subscribed) return { ready: false, loader: Boolean(window.WPP?.isInjected), code: drawnCode(), ...versions };
      const { Stream, Conn, Socket } = WPP.whatsapp;
      const authenticated = Boolean(WPP.conn.isAuthenticated());
      if (authenticated) clearInterval(watching);
      const known = async () => (await within(WPP.conn.getAuthCode(), 3000).catch(() => null))?.fullCode || null;
      const me = authenticated ? WPP.conn.getMyUserWid() : null;
      let progress = null;
      try {
        progress = WPP.conn.getHistorySyncProgress().progress;
      } catch {
        progress = null;
      }
      return {
        ...versions,
        ready: true,
        authenticated,
        loggedOut: loggedOut && !authenticated,
        needsUpdate: Boolean(Stream.needsUpdate),
        mode: text(Stream.mode),
        socket: text(Socket?.state),
        idle: Boolean(WPP.conn.isIdle()),
        code: authenticated ? null : drawnCode() || (await known()),
        codeTtl: Number(Conn?.refTTL) || null,
        phone: me ? String(me.user || me).split('@')[0].split(':')[0] : null,
        name: text(Conn?.pushname),
        progress: typeof progress === 'number' ? Math.max(0, Math.min(100, Math.round(progress))) : null,
      };
    },

    async refreshCode() {
      await within(atWork, 3000);
      await within(WPP.conn.refreshQR(), 20000);
      return true;
    },

    // Asks WhatsApp's server about the linked number itself: nothing but the server can answer.
    async probe() {
      await WPP.whatsapp.functions.queryWidExists(WPP.conn.getMyUserWid());
      return true;
    },

    async linkCode({ phone }) {
      await within(atWork, 3000);
      if (WPP.conn.isIdle()) await within(WPP.conn.refreshQR(), 15000);
      return String(await within(WPP.conn.genLinkDeviceCodeForPhoneNumber(phone), 20000));
    },

    // The file of a message as base64, or the word for why there is none.
    async download({ id, max }) {
      const gone = (why) => ({ gone: why });
      const tooLarge = (size) => Number(size) > max;
      try {
        const msg = await within(WPP.chat.getMessageById(id), 5000);
        if (!msg) return gone('msg_not_found');
        if (tooLarge(msg.size)) return gone('too_large');
        const blob = await within(WPP.chat.downloadMedia(id), 60000);
        if (tooLarge(blob.size)) return gone('too_large');
        return { data: (await WPP.util.blobToBase64(blob)).split(',')[1] || '' };
      } catch (error) {
        // Off line every file is missing: that says nothing about the file.
        if (isOnline() && ['media_not_found', 'message_not_contains_media', 'msg_not_found'].includes(error?.code)) {
          return gone(error.code);
        }
        throw error instanceof Error ? error : new Error(text(error?.code) || 'the file could not be read');
      }
    },

    async logout() {
      await within(WPP.conn.logout(), 15000);
      return true;
    },

    async newMessageId({ chat }) {
      return String(await WPP.chat.generateMessageID(chat));
    },

    // With `read` the receipt goes first; what is sent does not wait for it.
    async send({ chat, text: body, id, read }) {
      if (read) markRead(chat);
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

    // Not awaited: wa-js resolves only when the typing ends.
    async showTyping({ chat, ms, read }) {
      if (read) markRead(chat);
      WPP.chat.markIsComposing(chat, ms).catch(() => {});
      return true;
    },

    // What came while nobody listened, of which the page emits no events: first the chats that may have some.
    async chatsSince({ since }) {
      return (await WPP.chat.list())
        .filter((chat) => isPerson(String(chat.id)) && (Number(chat.t) >= since || chat.hasUnread))
        .sort((a, b) => Number(a.t) - Number(b.t))
        .map((chat) => String(chat.id));
    },

    // Their messages that are newer than `since` (seconds), oldest first, read `count` at a time.
    async missed({ since, chats, count }) {
      const found = new Map();
      const failed = [];
      const read = async (chat, options) => {
        const messages = await within(WPP.chat.getMessages(chat, options), 15000);
        const news = messages.filter((msg) => msg?.id && Number(msg.t) >= since && !found.has(String(msg.id)));
        for (const msg of news) found.set(String(msg.id), msg);
        return news;
      };
      for (const chat of chats) {
        try {
          let news = await read(chat, { count });
          while (news.length >= count) {
            const oldest = news.reduce((a, b) => (Number(b.t) < Number(a.t) ? b : a));
            news = await read(chat, { count, direction: 'before', id: String(oldest.id) });
          }
          if (WPP.chat.get(chat)?.hasUnread) await read(chat, { onlyUnread: true, count: -1 });
        } catch (error) {
          console.warn('messages of a chat could not be read', error?.message);
          failed.push(chat);
        }
      }
      const messages = [];
      const changes = [];
      for (const msg of found.values()) {
        messages.push(await describe(msg));
        if (msg.type === 'revoked') changes.push(revoked({ refId: msg.id, by: msg.id }));
        else if (msg.latestEditMsgKey) changes.push(edited(msg));
      }
      return { messages: messages.sort((a, b) => a.t - b.t), changes, failed };
    },
  };
})();
