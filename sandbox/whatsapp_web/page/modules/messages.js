// Messages: the model, the collection, what comes in, what happens to them afterwards.
__d('WAWebMsgModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  const MsgKey = require('WAWebMsgKey');
  const { createWid } = require('WAWebWidFactory');
  const toWid = (x) => (typeof x === 'string' ? createWid(x) : x);

  class Msg extends BaseModel {
    static defaults = {
      ack: 0,
      type: 'chat',
      isNewMsg: false,
      star: false,
      isForwarded: false,
      viewed: false,
      self: 'in',
      labels: [],
    };

    constructor(attributes, options) {
      const addresses = { from: toWid(attributes.from), to: toWid(attributes.to) };
      if (attributes.author) addresses.author = toWid(attributes.author);
      super({ ...attributes, id: MsgKey.from(attributes.id), ...addresses }, options);
    }

    get isStatusV3() { return this.id.remote.isStatus(); }
    get isSentByMe() { return this.id.fromMe; }
    get sender() { return this.id.fromMe ? this.from : this.author || this.from; }
    get isEphemeral() { return false; }
    get mediaObject() { return undefined; }
    get mediaData() { return require('SandboxMedia').of(this); }
    downloadMedia() { return require('SandboxMedia').download(this); }
    canReply() { return true; }

    updateAck(ack) {
      if (ack > this.ack || ack < 0) this.ack = ack;
    }

    msgContextInfo() {
      return {
        quotedMsg: { type: this.type, body: this.body },
        quotedStanzaID: this.id.id,
        quotedParticipant: this.sender,
        quotedRemoteJid: this.id.remote,
      };
    }
  }
  Msg.prototype.proxyName = 'msg';
  exports.default = Msg;
});

__d('WAWebMsgCollection', [], (exports, require) => {
  const { collection, Collection } = require('SandboxCollectionModule').make(require('WAWebMsgModel'), {
    async processMultipleMessages(chat, messages) {
      return messages.map((message) => require('SandboxIngest').message(message));
    },
    async getMessagesById(ids) { return { messages: ids.map((id) => this.get(id)).filter(Boolean) }; },
    hasSynced() { return true; },
  });
  exports.MsgCollection = collection;
  exports.MsgCollectionImpl = Collection;
});

__d('WAWebHandleMsg', [], (exports, require) => {
  exports.handleSingleMsg = async (wid, message) =>
    require('WAWebCollections').Msg.processMultipleMessages(wid, [message]);
});

__d('WAWebHandleMsgReceipt', [], (exports, require) => {
  const apply = ({ externalIds, ack }) => {
    const { Msg } = require('WAWebCollections');
    for (const id of externalIds) Msg.findFirst((message) => message.id.fromMe && message.id.id === id)?.updateAck(ack);
  };
  exports.handleChatSimpleReceipt = apply;
  exports.handleGroupSimpleReceipt = (receipt) => apply(receipt);
  exports.handleStatusSimpleReceipt = (receipt) => apply(receipt);
});

__d('WAWebMsgReply', [], (exports) => {
  exports.canReplyMsg = () => true;
});

__d('WAWebQuotedMsgModelUtils', [], (exports, require) => {
  exports.getQuotedMsgObj = (message) =>
    require('WAWebCollections').Msg.findFirst((other) => other.id.id === message.quotedStanzaID);
});

__d('WAWebGetEphemeralFieldsMsgActionsUtils', [], (exports) => {
  exports.getEphemeralFields = () => ({});
});

__d('WAWebLinkPreviewChatAction', [], (exports) => {
  exports.getLinkPreview = async () => undefined;
});

__d('WAWebChatLoadMessages', [], (exports) => {
  exports.loadEarlierMsgs = async () => [];
});

__d('WAWebDBMessageFindLocal', [], (exports, require) => {
  exports.msgFindByDirection = async ({ anchor, count, direction }) => {
    const messages = require('WAWebCollections').Chat.get(anchor.remote).msgs.toArray();
    const position = messages.findIndex((message) => message.id.equals(anchor));
    return {
      messages:
        direction === 'before'
          ? messages.slice(Math.max(0, position - count), position)
          : messages.slice(position + 1, position + 1 + count),
    };
  };
  exports.msgFindBefore = (query) => exports.msgFindByDirection({ ...query, direction: 'before' });
  exports.msgFindAfter = (query) => exports.msgFindByDirection({ ...query, direction: 'after' });
});
