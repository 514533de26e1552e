// What happens to a message that is there; each change arrives as a message of its own.
__d('WAWebReactionsMsgAction', [], (exports) => {
  exports.addOrUpdateReactionsModelCollection = async () => {};
});

__d('SandboxChanges', [], (exports, require) => {
  const kinds = {
    message_edit: (target, { id, body, t }) =>
      target.set({
        [target.directPath ? 'caption' : 'body']: body,
        latestEditMsgKey: id,
        latestEditSenderTimestampMs: t * 1000,
      }),
    sender_revoke: (target) =>
      target.set({ type: 'revoked', subtype: 'sender', body: undefined, caption: undefined, directPath: undefined }),
    reaction: (target, { id, from, reactionText, t }) =>
      require('WAWebReactionsMsgAction').addOrUpdateReactionsModelCollection(
        {
          msgKey: String(id),
          parentMsgKey: String(target.id),
          senderUserJid: String(from),
          reactionText,
          timestamp: t * 1000,
          orphan: 0,
          read: false,
        },
        { allowNotify: true },
      ),
  };

  exports.apply = (change) => {
    const target = require('WAWebCollections').Msg.get(change.protocolMessageKey);
    if (target) kinds[change.subtype || change.type]?.(target, change);
    return target;
  };
});
