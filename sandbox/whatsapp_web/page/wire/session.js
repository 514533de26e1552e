// Frames of linking and of the session, and the states that they bring about in the order that clients rely on.
__d('SandboxSession', [], (exports, require) => {
  const { Stream } = require('WAWebStreamModel');
  const { Socket } = require('WAWebSocketModel');

  exports.setState = (state) => {
    Socket.state = state;
    require('WAWebBackendEventBus').BackendEventBus.trigger('set_socket_state', state);
  };
  exports.goOffline = () => {
    if (!require('SandboxDeviceStore').device?.me || Stream.mode === 'CONFLICT') return;
    exports.setState('TIMEOUT');
    Stream.set({ mode: 'OFFLINE', info: 'OFFLINE' });
    Socket.stream = 'DISCONNECTED';
  };
});

__d('SandboxLinkFrames', [], (exports, require) => {
  const { Conn } = require('WAWebConnModel');
  const { Stream } = require('WAWebStreamModel');
  const { Socket } = require('WAWebSocketModel');
  const { setState } = require('SandboxSession');
  const store = require('SandboxDeviceStore');

  exports.ref = ({ ref, ttl }) => {
    Conn.set({ ref, refTTL: ttl });
    if (Socket.state !== 'UNPAIRED') {
      setState('UNPAIRED');
      Stream.set({ mode: 'QR', info: 'PAIRING' });
    }
    return require('SandboxScreen').showCode(ref);
  };
  exports.idle = () => {
    Conn.ref = undefined;
    setState('UNPAIRED_IDLE');
    require('SandboxScreen').showReload();
  };
  // Conn.ref stays: clients take its disappearance for a code that expired.
  exports.pair_success = async ({ me, deviceId }) => {
    setState('PAIRING');
    Stream.info = 'PAIRING';
    await store.save({ ...store.device, me, deviceId });
    require('SandboxWire').send({ op: 'pair_ack' });
  };
});

__d('SandboxSessionFrames', [], (exports, require) => {
  const { Conn } = require('WAWebConnModel');
  const { Stream } = require('WAWebStreamModel');
  const { Socket } = require('WAWebSocketModel');
  const { Cmd } = require('WAWebCmd');
  const { BackendEventBus } = require('WAWebBackendEventBus');
  const { createWid } = require('WAWebWidFactory');
  const { setState } = require('SandboxSession');
  const store = require('SandboxDeviceStore');
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const LOGOUT_MS = 200;

  exports.success = async ({ me, contacts, history, offline, unread, syncDelayMs }) => {
    const ingest = require('SandboxIngest');
    await store.save({ ...store.device, me });
    Conn.set({
      connected: true,
      wid: createWid(me.pn),
      lid: createWid(me.lid),
      pushname: me.pushname,
      platform: me.platform,
    });
    setState('OPENING');
    Stream.set({ mode: 'SYNCING', info: 'SYNCING' });
    require('SandboxScreen').showSync();
    setState('CONNECTED');
    Socket.stream = 'SYNCING';
    for (const contact of contacts) ingest.contact(contact);
    for (const message of history) ingest.message({ ...message, isNewMsg: false });
    // Traffic of the time offline comes between CONNECTED and hasSynced; whatsapp-web.js relies on that gap.
    await sleep(syncDelayMs / 2);
    for (const message of offline) await require('SandboxMessageFrames').msg({ msg: message });
    for (const [chat, count] of Object.entries(unread)) ingest.unread(chat, count);
    await sleep(syncDelayMs / 2);
    Socket.stream = 'CONNECTED';
    Cmd.isMainLoaded = true;
    Cmd.trigger('main_loaded');
    Stream.set({ mode: 'MAIN', info: 'NORMAL' });
    Cmd.trigger('main_stream_mode_ready');
    BackendEventBus.isOfflineDeliveryEnd = true;
    BackendEventBus.trigger('offline_delivery_end');
    Cmd.trigger('offline_progress_update_from_bridge');
    if (Socket.hasSynced) Socket.trigger('resumed');
    else Socket.hasSynced = true;
    require('SandboxScreen').showChats();
    require('SandboxWire').flush();
    require('SandboxWire').send({ op: 'ready' });
  };

  exports.conflict = () => {
    setState('CONFLICT');
    Stream.mode = 'CONFLICT';
  };

  // Socket.state does not change first: whatsapp-web.js would take that for a lost connection.
  exports.logged_out = async ({ reason }) => {
    const code = require('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
    BackendEventBus.trigger('logout');
    Cmd.trigger('logout_from_bridge');
    Cmd.trigger('logout');
    await store.clear();
    await sleep(LOGOUT_MS);
    location.replace(`/?post_logout=1${code ? `&logout_reason=${code}` : ''}`);
  };
});
