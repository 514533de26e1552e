// Sending. The promise of a result waits out an outage, and resolves also when the send was refused.
__d('SandboxSending', [], (exports, require) => {
  const FIELDS = [
    'body', 'caption', 'type', 'mimetype', 'filename', 'size', 'duration', 'directPath', 'filehash', 'encFilehash',
    'mediaKey', 'mediaKeyTimestamp', 'quotedStanzaID', 'quotedMsg',
  ];
  const toText = (x) => (x === undefined || x === null ? undefined : String(x));

  exports.add = (data) => require('SandboxIngest').message({ ...data, isNewMsg: true, local: true });

  exports.transmit = async (chat, message) => {
    const frame = {
      ...Object.fromEntries(FIELDS.map((name) => [name, message[name]])),
      id: message.id.id,
      to: toText(chat.id),
      from: toText(message.from),
      quotedParticipant: toText(message.quotedParticipant),
    };
    const answer = await require('SandboxWire').call({ op: 'send', msg: frame }, { persist: true });
    if (!answer.ok) {
      message.ack = -1;
      return { messageSendResult: 'ERROR_UNKNOWN', t: 0 };
    }
    message.t = answer.t;
    message.updateAck(1);
    return { messageSendResult: 'OK', t: answer.t, count: null };
  };
});

__d('WAWebSendMsgChatAction', [], (exports, require) => {
  const { add, transmit } = require('SandboxSending');

  exports.addAndSendMsgToChat = (chat, data) => {
    const message = add(data);
    return [Promise.resolve(message), transmit(chat, message)];
  };
});

// Sending a file: prepared here, uploaded, then sent like any message.
__d('WAWebPrepRawMedia', [], (exports, require) => {
  const media = require('SandboxMedia');
  const { add, transmit } = require('SandboxSending');

  const kindOf = (mimetype, { asDocument, asSticker, isPtt }) => {
    const family = mimetype.split('/')[0];
    if (asDocument) return 'document';
    if (asSticker) return 'sticker';
    if (family === 'audio') return isPtt ? 'ptt' : 'audio';
    return ['image', 'video'].includes(family) ? family : 'document';
  };

  class MediaPrep {
    constructor(mediaBlob, options) {
      const mimetype = mediaBlob.type();
      this.mediaData = new media.MediaData({
        type: kindOf(mimetype, options),
        mimetype,
        size: mediaBlob.size(),
        duration: options.precomputedFields?.duration,
        mediaBlob,
        mediaStage: 'PREPARING',
      });
    }

    async waitForPrep() { return this.mediaData; }

    // With one parameter: clients count them.
    async sendToChat({ chat, options }) {
      const data = await this.waitForPrep();
      const { type, mimetype, size, duration } = data;
      const own = { type, mimetype, size, duration, caption: options.caption };
      const message = add({ ...own, ...options.productMsgOptions, type });
      media.attach(message, data);
      data.mediaStage = 'UPLOADING';
      const place = await media.upload(data.mediaBlob.forceToBlob());
      message.set(place);
      data.set({ ...place, mediaStage: 'RESOLVED' });
      return transmit(chat, message);
    }
  }

  exports.MediaPrep = MediaPrep;
  exports.prepRawMedia = (blob, options) => new MediaPrep(blob, options);
  exports.uploadProductImage = () => Promise.reject(new Error('there are no products here'));
});
