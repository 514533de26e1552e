// One WebSocket with JSON frames. Requests carry a `seq` and get a `reply` with the same one; a request that persists
// outlives the connection and is repeated, marked `retry`, as soon as the page is back in its chats.
__d('SandboxWire', [], (exports, require) => {
  const RECONNECT_MS = 1000;
  const CAPABILITIES = ['SandboxLinkFrames', 'SandboxSessionFrames', 'SandboxMessageFrames'];
  const requests = new Map();
  let socket;
  let sequence = 0;

  const isOpen = () => socket?.readyState === WebSocket.OPEN;
  const isInChats = () => isOpen() && require('WAWebStreamModel').Stream.mode === 'MAIN';

  exports.send = (frame) => {
    if (isOpen()) socket.send(JSON.stringify(frame));
  };

  exports.call = (content, { persist = false } = {}) =>
    new Promise((resolve, reject) => {
      const frame = { ...content, seq: ++sequence };
      const request = { frame, persist, resolve, reject, sent: false };
      if (persist ? isInChats() : isOpen()) {
        exports.send(frame);
        request.sent = true;
      } else if (!persist) {
        reject(new Error('no connection'));
        return;
      }
      requests.set(frame.seq, request);
    });

  exports.flush = () => {
    for (const request of requests.values()) {
      if (!request.persist) continue;
      exports.send(request.sent ? { ...request.frame, retry: true } : request.frame);
      request.sent = true;
    }
  };

  const reply = ({ seq, ...answer }) => {
    requests.get(seq)?.resolve(answer);
    requests.delete(seq);
  };

  const receive = async (frame) => {
    if (frame.op === 'reply') return reply(frame);
    const capability = CAPABILITIES.map((id) => require(id)).find((frames) => frame.op in frames);
    return capability?.[frame.op](frame);
  };

  exports.connect = () => {
    socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws/chat`);
    socket.onopen = () => {
      const { encodeB64 } = require('WABase64');
      const { device } = require('SandboxDeviceStore');
      exports.send({
        op: 'hello',
        version: require('WAWebBuildConstants').VERSION_STR,
        device_id: device.deviceId,
        noise: encodeB64(device.noise),
        identity: encodeB64(device.identity),
        adv: device.adv,
        platform: require('WAWebCompanionRegClientUtils').DEVICE_PLATFORM,
        client: require('WAWebMiscBrowserUtils').info(),
      });
    };
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      receive(frame).catch((error) => console.error('frame', frame.op, error));
    };
    socket.onclose = () => {
      for (const [seq, request] of requests) {
        if (request.persist) continue;
        requests.delete(seq);
        request.reject(new Error('connection lost'));
      }
      require('SandboxSession').goOffline();
      if (require('WAWebStreamModel').Stream.mode !== 'CONFLICT') setTimeout(exports.connect, RECONNECT_MS);
    };
  };
});
