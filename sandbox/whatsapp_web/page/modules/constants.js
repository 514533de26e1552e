// Enumerations and small pure functions.
__d('WAWebBuildConstants', [], (exports) => {
  exports.VERSION_STR = '2.3000.1044096500';
  exports.VERSION_BASE = exports.VERSION_STR;
  exports.SANITIZED_VERSION_STR = exports.VERSION_STR;
});

__d('WABase64', [], (exports) => {
  const toBytes = (data) => (data instanceof Uint8Array ? data : new Uint8Array(data));
  exports.encodeB64 = (data) => btoa(String.fromCharCode(...toBytes(data)));
  exports.decodeB64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
  exports.encodeB64UrlSafe = (data) => exports.encodeB64(data).replace(/\+/g, '-').replace(/\//g, '_');
  exports.decodeB64UrlSafe = (text) => exports.decodeB64(text.replace(/-/g, '+').replace(/_/g, '/'));
  exports.decodeB64ToJsArray = (text) => [...new Uint8Array(exports.decodeB64(text))];
});

__d('WATimeUtils', [], (exports) => {
  exports.unixTime = () => Math.floor(Date.now() / 1000);
  exports.unixTimeMs = () => Date.now();
});

__d('WALinkify', [], (exports) => {
  const LINK = /\bhttps?:\/\/[^\s<>"']+/gi;
  exports.findLinks = (text) =>
    [...String(text || '').matchAll(LINK)].map((match) => ({
      href: match[0],
      url: match[0],
      index: match.index,
      suspiciousCharacters: null,
    }));
  exports.findLink = (text) => exports.findLinks(text)[0];
  exports.findFirstWebLink = (text) => {
    const link = exports.findLink(text);
    return link ? { url: link.href, domain: new URL(link.href).host } : undefined;
  };
});

__d('WAWebAck', [], (exports) => {
  exports.ACK = { FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3, PLAYED: 4 };
  exports.ACK_STRING = { SENDER: 'sender', DELIVERY: 'delivery', READ: 'read', PLAYED: 'played' };
  exports.EDIT_ATTR = { REVOKE: 7 };
});

__d('WAWebSocketConstants', [], (exports) => {
  const named = (...names) => Object.fromEntries(names.map((name) => [name, name]));
  exports.SOCKET_STATE = named(
    'OPENING', 'PAIRING', 'UNPAIRED', 'UNPAIRED_IDLE', 'CONNECTED', 'TIMEOUT', 'CONFLICT', 'UNLAUNCHED', 'PROXYBLOCK',
    'TOS_BLOCK', 'SMB_TOS_BLOCK', 'DEPRECATED_VERSION',
  );
  exports.SOCKET_STREAM = named('DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED');
  exports.WATCHED_SOCKET_STATE = named('OPEN', 'CLOSED');
});

__d('WAWebSendMsgResult', [], (exports) => {
  exports.SendMsgResult = {
    OK: 'OK',
    ERROR_NETWORK: 'ERROR_NETWORK',
    ERROR_EXPIRED: 'ERROR_EXPIRED',
    ERROR_CANCELLED: 'ERROR_CANCELLED',
    ERROR_UPLOAD: 'ERROR_UPLOAD',
    ERROR_UNKNOWN: 'ERROR_UNKNOWN',
  };
});

__d('WAWebLogoutReason', [], (exports) => {
  exports.LogoutReason = {
    UserInitiated: 'user_initiated',
    AccountSyncError: 'account_sync_error',
    UnknownCompanion: 'unknown_companion',
    InvalidAdvStatus: 'invalid_adv_status',
  };
  exports.LOGOUT_REASON_CODE = {
    CLIENT_FATAL: '0',
    SYNC_FAIL: '1',
    INITIAL_HISTORY_SYNC_TIMEOUT: '2',
    ACCOUNT_LOCKED: '3',
  };
  exports.getErrorCodeFromLogoutReason = (reason) => (reason === exports.LogoutReason.UserInitiated ? null : '0');
});

__d('WAWebMsgType', [], (exports) => {
  exports.MSG_TYPE = {
    CHAT: 'chat',
    IMAGE: 'image',
    VIDEO: 'video',
    AUDIO: 'audio',
    PTT: 'ptt',
    DOCUMENT: 'document',
    STICKER: 'sticker',
    LOCATION: 'location',
    REVOKED: 'revoked',
    CIPHERTEXT: 'ciphertext',
    E2E_NOTIFICATION: 'e2e_notification',
    CALL_LOG: 'call_log',
  };
  exports.SYSTEM_MESSAGE_TYPES = ['e2e_notification', 'notification_template', 'gp2'];
});

__d('WAWebABProps', [], (exports) => {
  exports.getABPropConfigValue = () => undefined;
});
