// Chats, their presence, and finding or making one.
__d('WAWebPresenceModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  exports.Presence = class Presence extends BaseModel {
    subscribe() {
      require('SandboxWire').send({ op: 'subscribe', id: String(this.id) });
      return Promise.resolve();
    }
  };
  exports.Chatstate = class Chatstate extends BaseModel {};
  exports.ChatstateCollection = class extends require('WAWebCollection') {
    static model = exports.Chatstate;
  };
});

__d('WAWebPresenceCollection', [], (exports, require) => {
  exports.PresenceCollection = require('SandboxCollectionModule').make().collection;
});

__d('WAWebChatModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  const { Presence, Chatstate } = require('WAWebPresenceModel');

  class ChatMsgs extends require('WAWebCollection') {
    static model = require('WAWebMsgModel');
  }

  class Chat extends BaseModel {
    static defaults = {
      unreadCount: 0,
      t: 0,
      archive: false,
      pin: 0,
      muteExpiration: 0,
      isReadOnly: false,
      active: false,
    };

    initialize() {
      const hide = (name, value) => Object.defineProperty(this, name, { value, enumerable: false });
      const chatstate = new Chatstate({ id: this.id });
      hide('msgs', new ChatMsgs());
      hide('presence', new Presence({ id: this.id, isOnline: false, isUser: true, isGroup: false, chatstate }));
      hide('mute', { expiration: 0, isMuted: false });
    }

    get contact() { return require('WAWebCollections').Contact.get(this.id); }
    get formattedTitle() { return this.name || this.contact?.name || this.contact?.pushname || this.id.user; }
    serialize() { return { ...super.serialize(), msgs: this.msgs.serialize() }; }
  }
  Chat.prototype.proxyName = 'chat';

  exports.default = Chat;
  exports.ChatMsgsCollection = ChatMsgs;
});

__d('WAWebChatCollection', [], (exports, require) => {
  const { collection, Collection } = require('SandboxCollectionModule').make(require('WAWebChatModel'), {
    async findImpl(id) { return (await require('WAWebFindChatAction').findOrCreateLatestChat(id)).chat; },
  });
  exports.ChatCollection = collection;
  exports.ChatCollectionImpl = Collection;
});

__d('WAWebFindChatAction', [], (exports, require) => {
  const { lidPnCache } = require('WAWebLidPnCache');
  const { createWid } = require('WAWebWidFactory');

  exports.findOrCreateLatestChat = async (id) => {
    const wid = typeof id === 'string' ? createWid(id) : id;
    const { Chat } = require('WAWebCollections');
    const known =
      Chat.get(wid) || Chat.get(lidPnCache.getCurrentLid(wid)) || Chat.get(lidPnCache.getPhoneNumber(wid));
    if (known) return { chat: known, created: false };
    const answer = await require('SandboxWire').call({ op: 'query', id: String(wid) });
    if (!answer.exists) throw new Error('No LID for user');
    return { chat: Chat.add({ id: require('SandboxIngest').contact(answer.contact).id })[0], created: true };
  };
});

__d('WAWebChatGetters', [], (exports) => {
  exports.getIsNewsletter = (chat) => chat.id.isNewsletter();
  exports.getIsBroadcast = (chat) => chat.id.isBroadcast();
  exports.getHasUnread = (chat) => chat.unreadCount !== 0;
});

__d('WAWebFrontendChatGetters', [], (exports) => {
  exports.getShouldAppearInList = () => true;
  exports.getPreviewMessage = (chat) => chat.msgs.last();
  exports.getShowChangeNumberNotification = () => false;
  exports.getShouldShowUnreadDivider = () => false;
});

__d('WAWebUpdateUnreadChatAction', [], (exports, require) => {
  exports.sendSeen = async ({ chat }) => {
    const unread = chat.msgs.filter((message) => !message.id.fromMe && !message.viewed);
    for (const message of unread) message.viewed = true;
    chat.unreadCount = 0;
    const ids = unread.map((message) => message.id.id);
    if (ids.length) require('SandboxWire').send({ op: 'read', chat: String(chat.id), ids });
  };
  exports.markUnread = async (chat) => { chat.unreadCount = -1; };
});

__d('WAWebChatStateBridge', [], (exports, require) => {
  const report = (state) => async (wid) =>
    require('SandboxWire').send({ op: 'chatstate', chat: String(wid), state });
  exports.sendChatStateComposing = report('composing');
  exports.sendChatStatePaused = report('paused');
  exports.sendChatStateRecording = report('recording');
});

__d('WAWebChatPresence', [], (exports, require) => {
  const bridge = require('WAWebChatStateBridge');
  exports.markComposing = (chat) => bridge.sendChatStateComposing(chat.id);
  exports.markPaused = (chat) => bridge.sendChatStatePaused(chat.id);
  exports.markRecording = (chat) => bridge.sendChatStateRecording(chat.id);
});
