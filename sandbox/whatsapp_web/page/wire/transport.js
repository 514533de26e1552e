// One WebSocket with JSON frames. Requests carry a `seq` and get a `reply` with the same one. A request that persists
// outlives the connection: it is repeated, marked `retry`, when no answer comes in time and when the page is back in its
// chats. Any other fails then.
__d('SandboxWire', [], (exports, require) => {
  const RECONNECT_MS = 1000;
  const CAPABILITIES = ['SandboxLinkFrames', 'SandboxSessionFrames', 'SandboxMessageFrames'];
  const PLACES = ['MAIN', 'TOS_BLOCK'];
  const requests = new Map();
  let answerMs = 15_000;
  let socket;
  let sequence = 0;

  const isOpen = () => socket?.readyState === WebSocket.OPEN;
  const isInChats = () => isOpen() && PLACES.includes(require('WAWebStreamModel').Stream.mode);

  exports.send = (frame) => {
    if (isOpen()) socket.send(JSON.stringify(frame));
  };

  const end = (request) => {
    clearTimeout(request.timer);
    requests.delete(request.frame.seq);
  };

  const fail = (request, cause) => {
    end(request);
    request.reject(new Error(cause));
  };

  const transmit = (request) => {
    exports.send(request.sent ? { ...request.frame, retry: true } : request.frame);
    request.sent = true;
    clearTimeout(request.timer);
    request.timer = setTimeout(() => {
      if (!request.persist) fail(request, 'no answer');
      else if (isInChats()) transmit(request);
    }, answerMs);
  };

  exports.call = (content, { persist = false } = {}) =>
    new Promise((resolve, reject) => {
      const request = { frame: { ...content, seq: ++sequence }, persist, resolve, reject, sent: false };
      requests.set(request.frame.seq, request);
      if (persist ? isInChats() : isOpen()) transmit(request);
      else if (!persist) fail(request, 'no connection');
    });

  exports.setPatience = (ms) => { answerMs = ms; };
  exports.flush = () => {
    for (const request of requests.values()) if (request.persist) transmit(request);
  };
  exports.takeOver = () => {
    if (isOpen()) exports.send({ op: 'takeover' });
    else exports.connect();
  };

  const reply = ({ seq, ...answer }) => {
    const request = requests.get(seq);
    if (!request) return;
    end(request);
    request.resolve(answer);
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
      for (const request of [...requests.values()]) if (!request.persist) fail(request, 'connection lost');
      require('SandboxSession').goOffline();
      if (require('WAWebStreamModel').Stream.mode !== 'CONFLICT') setTimeout(exports.connect, RECONNECT_MS);
    };
  };
});
