// Who this browser is: its keys and its account, kept in IndexedDB so that a profile stays linked.
__d('SandboxDeviceStore', [], (exports) => {
  const open = () =>
    new Promise((resolve, reject) => {
      const request = indexedDB.open('signal-storage', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('kv');
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  const transact = async (mode, work) => {
    const database = await open();
    try {
      return await new Promise((resolve, reject) => {
        // Strict: a browser killed right after pairing must still know that it is linked.
        const transaction = database.transaction('kv', mode, { durability: 'strict' });
        const request = work(transaction.objectStore('kv'));
        transaction.oncomplete = () => resolve(request && request.result);
        transaction.onerror = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  };

  const random = (count) => crypto.getRandomValues(new Uint8Array(count));

  exports.load = async () => {
    const device = await transact('readonly', (store) => store.get('device'));
    if (device) exports.device = device;
    else {
      await exports.save({
        noise: random(32),
        identity: random(32),
        registrationId: random(2)[0] * 64,
        adv: btoa(String.fromCharCode(...random(32))),
        me: null,
      });
    }
    return exports.device;
  };
  exports.save = (device) => {
    exports.device = device;
    return transact('readwrite', (store) => store.put(device, 'device'));
  };
  exports.clear = () => transact('readwrite', (store) => store.clear());
});

__d('WAWebSignalStoreApi', [], (exports, require) => {
  exports.waSignalStore = {
    getRegistrationInfo: async () => {
      const { device } = require('SandboxDeviceStore');
      return { registrationId: device.registrationId, identityKeyPair: { pubKey: device.identity.buffer.slice(0) } };
    },
  };
});

__d('WAWebUserPrefsInfoStore', [], (exports, require) => {
  exports.waNoiseInfo = {
    get: async () => ({ staticKeyPair: { pubKey: require('SandboxDeviceStore').device.noise.buffer.slice(0) } }),
  };
});

__d('WAWebUserPrefsMultiDevice', [], (exports, require) => {
  exports.getADVSecretKey = () => require('SandboxDeviceStore').device.adv;
});

__d('WAWebAdvSignatureApi', [], (exports, require) => {
  exports.getADVSecretKey = () => require('WAWebUserPrefsMultiDevice').getADVSecretKey();
  exports.setADVSignedIdentity = () => {};
});

__d('WAWebCompanionRegClientUtils', [], (exports) => {
  exports.DEVICE_PLATFORM = '1';
});

__d('WAWebMiscBrowserUtils', [], (exports) => {
  exports.default = {
    id: () => 'sandbox',
    startDownloading() {},
    hardRefresh() {},
    info: () => ({ os: 'Linux', name: 'Chrome', version: '1', ua: navigator.userAgent }),
  };
});

__d('WAWebUserPrefsMeUser', [], (exports, require) => {
  const { createWid } = require('WAWebWidFactory');
  const me = () => require('SandboxDeviceStore').device?.me;
  const need = (value) => {
    if (!value) throw new Error('me is not set');
    return value;
  };

  exports.getMaybeMePnUser = () => (me() ? createWid(me().pn) : undefined);
  exports.getMaybeMeLidUser = () => (me() ? createWid(me().lid) : undefined);
  exports.getMaybeMeUser = exports.getMaybeMePnUser;
  exports.getMePnUserOrThrow = () => need(exports.getMaybeMePnUser());
  exports.getMeLidUserOrThrow = () => need(exports.getMaybeMeLidUser());
  exports.getMaybeMeDisplayName = () => me()?.pushname;
  exports.isMeAccount = (wid) => [me()?.pn, me()?.lid].includes(String(wid));
  exports.isMeUser = exports.isMeAccount;
  exports.isSerializedWidMe = exports.isMeAccount;
});

__d('WAWebLoginState', [], (exports, require) => {
  exports.isLoggedIn = () => !!require('SandboxDeviceStore').device?.me;
  exports.isRegistered = exports.isLoggedIn;
});
