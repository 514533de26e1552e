// The state of the connection, as singletons that clients watch.
__d('WAWebConnModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  class ConnImpl extends BaseModel {
    get isSMB() { return /^smb/.test(this.platform || ''); }
  }
  exports.ConnImpl = ConnImpl;
  exports.Conn = new ConnImpl({
    ref: undefined,
    refTTL: undefined,
    connected: false,
    platform: undefined,
    pushname: undefined,
    wid: undefined,
    lid: undefined,
    battery: undefined,
    plugged: undefined,
  });
});

__d('WAWebStreamModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  const show = (value) => require('SandboxWire').send({ op: 'available', value });
  class StreamModel extends BaseModel {
    get displayInfo() { return this.info; }

    markAvailable() {
      this.available = true;
      show(true);
    }

    markUnavailable() {
      this.available = false;
      show(false);
    }
  }
  exports.Stream = new StreamModel({
    mode: 'OFFLINE',
    info: 'OPENING',
    available: undefined,
    needsUpdate: false,
    phoneAuthed: false,
  });
});

__d('WAWebSocketModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  class SocketModel extends BaseModel {
    initConn() {}
    poke() { require('WAWebCmd').Cmd.refreshQR(); }
    takeover() { require('SandboxWire').takeOver(); }
    logout() { require('SandboxWire').send({ op: 'logout' }); }
  }
  exports.Socket = new SocketModel({ state: 'OPENING', stream: 'DISCONNECTED', hasSynced: false });
});

__d('WAWebNetworkStatus', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  class NetworkStatus extends BaseModel {
    checkOnline() { return Promise.resolve(this.online); }
  }
  exports.default = new NetworkStatus({ online: navigator.onLine });
});

__d('WAWebCmd', [], (exports, require) => {
  const EventEmitter = require('WAWebEventEmitter');
  class CmdImpl extends EventEmitter {
    constructor() {
      super();
      this.isMainLoaded = false;
    }

    refreshQR() {
      this.trigger('refresh_qr');
      require('SandboxWire').send({ op: 'refresh_qr' });
    }
  }
  exports.Cmd = new CmdImpl();
  exports.CmdImpl = CmdImpl;
});

__d('WAWebBackendEventBus', [], (exports, require) => {
  const EventEmitter = require('WAWebEventEmitter');
  class BackendEventBus extends EventEmitter {
    constructor() {
      super();
      this.isMainStreamReadyMd = false;
      this.isOfflineDeliveryEnd = false;
    }
  }
  exports.BackendEvent = {
    LOGOUT: 'logout',
    SET_SOCKET_STATE: 'set_socket_state',
    OFFLINE_DELIVERY_END: 'offline_delivery_end',
  };
  exports.BackendEventBus = new BackendEventBus();
});

__d('WAWebOfflineHandler', [], (exports) => {
  exports.OfflineMessageHandler = {
    getOfflineDeliveryProgress: () => 100,
    isResumeFromRestartComplete: () => true,
  };
});

__d('WAWebIsOfficialClient', [], (exports) => {
  exports.isOfficialClient = true;
});

__d('WAWebLaunchSocketUtils', [], (exports, require) => {
  exports.refreshQR = () => require('WAWebCmd').Cmd.refreshQR();
});

__d('WAWebSyncGatingUtils', [], (exports) => {
  exports.isPlaceholderMessageResendEnabled = () => false;
});
