// Frames of messages, and how the server's data gets into the collections.
__d('SandboxIngest', [], (exports, require) => {
  const { createWid } = require('WAWebWidFactory');

  exports.contact = ({ pn, lid, addressing, name, pushname }) => {
    const { Contact } = require('WAWebCollections');
    const { lidPnCache } = require('WAWebLidPnCache');
    const number = createWid(pn);
    lidPnCache.add(createWid(lid), { lid: createWid(lid), phoneNumber: number, phoneNumberCreatedAt: 0 });
    const hidden = addressing === 'lid';
    const attributes = { name, shortName: name, pushname, type: 'in', isBusiness: false, isContactBlocked: false };
    if (hidden) attributes.phoneNumber = number;
    return Contact.add({ id: hidden ? createWid(lid) : number, ...attributes }, { merge: true })[0];
  };

  exports.toWids = (data) => {
    const wids = {};
    for (const name of ['from', 'to', 'author', 'quotedParticipant']) {
      if (data[name]) wids[name] = createWid(String(data[name]));
    }
    return { ...data, ...wids };
  };

  const contentOf = ({ id, from, to, author, ack, seen, isNewMsg, ...content }) => content;

  // As if the page had never had it; nobody is told.
  const forget = (key) => {
    const known = require('WAWebCollections').Msg.get(key);
    if (!known) return;
    require('WAWebCollections').Chat.get(key.remote)?.msgs.remove(known, { silent: true });
    known.collection.remove(known, { silent: true });
  };

  exports.message = (data) => {
    if (data.protocolMessageKey) return require('SandboxChanges').apply(data);
    const { Msg, Chat } = require('WAWebCollections');
    const MsgModel = require('WAWebMsgModel');
    const key = require('WAWebMsgKey').from(data.id);
    if (data.late) forget(key);
    const known = Msg.get(key);
    if (known) {
      // Its real form: a new message, to clients too.
      if (known.type === 'ciphertext' && data.type !== 'ciphertext') known.set(contentOf(exports.toWids(data)));
      // Receipts that came while the page was away.
      if (key.fromMe && data.ack > known.ack) {
        require('SandboxMessageFrames').receipt({ ack: data.ack, from: String(key.remote), ids: [key.id] });
      }
      return known;
    }
    const { seen, late, ...attributes } = data;
    const chat = Chat.get(key.remote) || Chat.add({ id: key.remote, t: data.t })[0];
    const message = new MsgModel({ ...exports.toWids(attributes), id: key, viewed: !!seen });
    message.collection = Msg;
    chat.msgs.add(message);
    Msg.add(message);
    chat.t = message.t;
    if (!key.fromMe) {
      chat.set('lastReceivedKey', key);
      if (data.isNewMsg && !late) chat.unreadCount = Math.max(0, chat.unreadCount) + 1;
    }
    return message;
  };

  exports.unread = (chat, count) => {
    const known = require('WAWebCollections').Chat.get(chat);
    if (known) known.unreadCount = count;
  };
});

__d('SandboxMessageFrames', [], (exports, require) => {
  const MsgKey = require('WAWebMsgKey');
  const { createWid } = require('WAWebWidFactory');

  exports.msg = async ({ msg, contact, late }) => {
    if (contact) require('SandboxIngest').contact(contact);
    await require('WAWebHandleMsg').handleSingleMsg(createWid(msg.id.remote), {
      ...require('SandboxIngest').toWids(msg),
      id: MsgKey.from(msg.id),
      protocolMessageKey: msg.protocolMessageKey && MsgKey.from(msg.protocolMessageKey),
      late,
      isNewMsg: true,
    });
    require('SandboxWire').send({ op: 'msg_ack', id: msg.id.id, sealed: msg.type === 'ciphertext' });
    require('SandboxScreen').showChats();
  };

  exports.patch = ({ id, set }) => {
    require('WAWebCollections').Msg.findFirst((message) => message.id.id === id)?.set(set);
  };

  exports.receipt = ({ ack, from, ids }) => {
    require('WAWebHandleMsgReceipt').handleChatSimpleReceipt({
      ack,
      from: createWid(from),
      externalIds: ids,
      ackString: ack >= 3 ? 'read' : 'delivery',
    });
  };

  exports.seen_elsewhere = ({ chat }) => {
    const known = require('WAWebCollections').Chat.get(chat);
    if (!known) return;
    for (const message of known.msgs.toArray()) message.viewed = true;
    known.unreadCount = 0;
  };
});
