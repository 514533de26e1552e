// Files of messages: what is known of them, and getting them.
__d('WAWebMediaOpaqueData', [], (exports) => {
  exports.default = class OpaqueData {
    static async createFromData(data, type) {
      return new OpaqueData(data instanceof Blob && data.type === type ? data : new Blob([data], { type }));
    }

    constructor(blob) { Object.defineProperty(this, 'blob', { value: blob, enumerable: false }); }
    forceToBlob() { return this.blob; }
    size() { return this.blob.size; }
    type() { return this.blob.type; }
    retain() {}
    autorelease() {}
    throwIfReleased() {}
  };
});

__d('SandboxMedia', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  const FACTS = ['type', 'mimetype', 'size', 'filename', 'duration', 'directPath', 'filehash', 'mediaKey', 'encFilehash'];
  const known = new WeakMap();

  class MediaData extends BaseModel {}

  const RETRY_MS = 1000;

  exports.MediaData = MediaData;
  exports.attach = (message, data) => known.set(message, data);

  // Waits out an outage, as sending does; gives where the file is, and its hashes.
  exports.upload = async (blob) => {
    for (;;) {
      const answer = await fetch('/mms/', { method: 'POST', body: blob }).catch(() => null);
      if (answer?.ok) return answer.json();
      if (answer && answer.status < 500) throw new Error(`upload: HTTP ${answer.status}`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  };

  exports.of = (message) => {
    if (!known.has(message)) {
      if (!message.directPath) return undefined;
      const facts = Object.fromEntries(FACTS.map((name) => [name, message[name]]));
      known.set(message, new MediaData({ ...facts, mediaStage: 'NEED_POKE', mediaBlob: undefined }));
    }
    return known.get(message);
  };

  // 404 is a file that is gone; anything else may be had later.
  exports.fetch = async (directPath) => {
    const answer = await fetch(directPath, { cache: 'no-store' });
    if (answer.ok) return answer.arrayBuffer();
    throw Object.assign(new Error(`media: HTTP ${answer.status}`), { status: answer.status });
  };

  exports.download = async (message) => {
    const data = exports.of(message);
    if (!data || data.mediaStage === 'RESOLVED') return;
    data.mediaStage = 'FETCHING';
    try {
      const bytes = await exports.fetch(data.directPath);
      const mediaBlob = await require('WAWebMediaOpaqueData').createFromData(bytes, data.mimetype);
      data.set({ mediaBlob, mediaStage: 'RESOLVED' });
    } catch (error) {
      data.mediaStage = error.status === 404 ? 'ERROR_MISSING' : 'NEED_POKE';
    }
  };
});

__d('WAWebDownloadManager', [], (exports, require) => {
  exports.downloadManager = {
    downloadAndMaybeDecrypt: ({ directPath }) => require('SandboxMedia').fetch(directPath),
  };
});
