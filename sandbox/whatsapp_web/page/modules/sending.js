// Sending. The promise of a result waits out an outage, and resolves also when the send was refused.
__d('WAWebSendMsgChatAction', [], (exports, require) => {
  const toText = (x) => (x === undefined || x === null ? undefined : String(x));

  exports.addAndSendMsgToChat = (chat, data) => {
    const message = require('SandboxIngest').message({ ...data, isNewMsg: true, local: true });
    const { body, caption, type, mimetype, filename, size, quotedStanzaID } = message;
    const frame = {
      id: message.id.id,
      to: toText(chat.id),
      from: toText(message.from),
      body,
      caption,
      type,
      mimetype,
      filename,
      size,
      quotedStanzaID,
    };
    const result = require('SandboxWire')
      .call({ op: 'send', msg: frame }, { persist: true })
      .then((answer) => {
        if (!answer.ok) {
          message.ack = -1;
          return { messageSendResult: 'ERROR_UNKNOWN', t: 0 };
        }
        message.t = answer.t;
        message.updateAck(1);
        return { messageSendResult: 'OK', t: answer.t, count: null };
      });
    return [Promise.resolve(message), result];
  };
});
