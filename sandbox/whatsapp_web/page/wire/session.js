// Frames of linking and of the session, and the states that they bring about in the order that clients rely on.
__d('SandboxSession', [], (exports, require) => {
  const { Stream } = require('WAWebStreamModel');
  const { Socket } = require('WAWebSocketModel');
  let login = 0;

  // A login takes a while, and is over as soon as another one or the end of the session comes.
  exports.beginLogin = () => {
    const mine = ++login;
    return () => mine === login;
  };
  exports.setState = (state) => {
    Socket.state = state;
    require('WAWebBackendEventBus').BackendEventBus.trigger('set_socket_state', state);
  };
  exports.goOffline = () => {
    exports.beginLogin();
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
  // The phone has used the code. Conn.ref stays: clients take its disappearance for a code that expired.
  exports.pairing = () => {
    setState('PAIRING');
    Stream.info = 'PAIRING';
  };
  exports.pair_success = async ({ me, deviceId }) => {
    exports.pairing();
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
  const { beginLogin, setState } = require('SandboxSession');
  const { getHistorySyncProgressModel } = require('WAWebHistorySyncProgressModel');
  const store = require('SandboxDeviceStore');
  const SYNC_STEPS = 10;
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const LOGOUT_MS = 200;

  let isRestricted = false;

  const enterChats = () => {
    if (isRestricted) setState('TOS_BLOCK');
    Stream.set({ mode: isRestricted ? 'TOS_BLOCK' : 'MAIN', info: 'NORMAL' });
    if (isRestricted) require('SandboxScreen').showBlock();
    else require('SandboxScreen').showChats();
  };

  exports.success = async ({ me, restricted, contacts, history, offline, unread, syncDelayMs, answerMs }) => {
    const ingest = require('SandboxIngest');
    const isCurrent = beginLogin();
    isRestricted = restricted;
    const progress = getHistorySyncProgressModel();
    const syncUntil = async (first, last) => {
      for (let step = first; step < last && isCurrent(); step += 1) {
        progress.setProgress((100 * step) / SYNC_STEPS);
        await sleep(syncDelayMs / SYNC_STEPS);
      }
    };
    require('SandboxWire').setPatience(answerMs);
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
    await syncUntil(0, SYNC_STEPS / 2);
    if (!isCurrent()) return;
    for (const message of offline) await require('SandboxMessageFrames').msg({ msg: message });
    for (const [chat, count] of Object.entries(unread)) ingest.unread(chat, count);
    await syncUntil(SYNC_STEPS / 2, SYNC_STEPS);
    if (!isCurrent()) return;
    progress.setProgress(100);
    Socket.stream = 'CONNECTED';
    Cmd.isMainLoaded = true;
    Cmd.trigger('main_loaded');
    enterChats();
    Cmd.trigger('main_stream_mode_ready');
    BackendEventBus.isOfflineDeliveryEnd = true;
    BackendEventBus.trigger('offline_delivery_end');
    Cmd.trigger('offline_progress_update_from_bridge');
    if (Socket.hasSynced) Socket.trigger('resumed');
    else Socket.hasSynced = true;
    require('SandboxWire').flush();
    require('SandboxWire').send({ op: 'ready' });
  };

  exports.restricted = ({ restricted }) => {
    isRestricted = restricted;
    if (Stream.mode !== 'MAIN' && Stream.mode !== 'TOS_BLOCK') return;
    if (!restricted) setState('CONNECTED');
    enterChats();
  };

  exports.conflict = () => {
    beginLogin();
    setState('CONFLICT');
    Stream.mode = 'CONFLICT';
    require('SandboxScreen').showConflict();
  };

  // Socket.state does not change first: whatsapp-web.js would take that for a lost connection.
  exports.logged_out = async ({ reason }) => {
    beginLogin();
    const code = require('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
    BackendEventBus.trigger('logout');
    Cmd.trigger('logout_from_bridge');
    Cmd.trigger('logout');
    await store.clear();
    await sleep(LOGOUT_MS);
    location.replace(`/?post_logout=1${code ? `&logout_reason=${code}` : ''}`);
  };
});
