// Contacts, and the two addresses that each of them has.
__d('WAWebContactModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  exports.default = class Contact extends BaseModel {};
  exports.default.prototype.proxyName = 'contact';
});

__d('WAWebContactCollection', [], (exports, require) => {
  const { collection, Collection } = require('SandboxCollectionModule').make(require('WAWebContactModel'));
  exports.ContactCollection = collection;
  exports.ContactCollectionImpl = Collection;
});

__d('WAWebLidPnCache', [], (exports) => {
  const byLid = new Map();
  const byNumber = new Map();
  exports.lidPnCache = {
    add: (lid, entry) => {
      byLid.set(String(lid), entry);
      byNumber.set(String(entry.phoneNumber), entry);
    },
    getPhoneNumber: (lid) => byLid.get(String(lid))?.phoneNumber,
    getCurrentLid: (number) => byNumber.get(String(number))?.lid,
    getLidEntry: (lid) => byLid.get(String(lid)),
    getAllLids: () => [...byLid.values()].map((entry) => entry.lid),
    clear() {
      byLid.clear();
      byNumber.clear();
    },
    remove(lid) { byLid.delete(String(lid)); },
  };
});

__d('WAWebApiContact', [], (exports, require) => {
  const { lidPnCache } = require('WAWebLidPnCache');
  exports.getCurrentLid = (wid) => lidPnCache.getCurrentLid(wid);
  exports.getPhoneNumber = (wid) => lidPnCache.getPhoneNumber(wid);
  exports.getAlternateUserWid = (wid) => (wid.isLid() ? lidPnCache.getPhoneNumber(wid) : lidPnCache.getCurrentLid(wid));
});

__d('WAWebLidMigrationUtils', [], (exports, require) => {
  const { lidPnCache } = require('WAWebLidPnCache');
  exports.toPn = (wid) => (wid.isLid() ? lidPnCache.getPhoneNumber(wid) : wid);
  exports.toLid = (wid) => (wid.isLid() ? wid : lidPnCache.getCurrentLid(wid));
});

__d('WAWebLid1X1MigrationGating', [], (exports) => {
  exports.Lid1X1MigrationUtils = { isLidMigrated: () => true };
});

__d('WAWebContactGetters', [], (exports, require) => {
  const attribute = (name) => (contact) => contact[name];
  const no = () => false;
  const yes = () => true;
  const none = () => undefined;
  Object.assign(exports, {
    getIsMe: (contact) => require('WAWebUserPrefsMeUser').isMeAccount(contact.id),
    getIsUser: (contact) => contact.id.isUser(),
    getIsGroup: (contact) => contact.id.isGroup(),
    getIsBroadcast: (contact) => contact.id.isBroadcast(),
    getIsPSA: (contact) => contact.id.isPSA(),
    getIsWAContact: yes,
    getUserid: (contact) => contact.id.user,
    getNotifyName: attribute('pushname'),
    getPushname: attribute('pushname'),
    getName: attribute('name'),
    getShortName: attribute('shortName'),
    getVerifiedName: attribute('verifiedName'),
    getVerifiedLevel: attribute('verifiedLevel'),
    getStatusMute: no,
    getIsEnterprise: no,
    getIsBusiness: attribute('isBusiness'),
    getPremiumMessageName: none,
    getIsNewsletter: no,
    getIsIAS: no,
    getIsSupportAccount: no,
    getCanRequestPhoneNumber: no,
    getShowBusinessCheckmarkAsPrimary: no,
    getShowBusinessCheckmarkAsSecondary: no,
    getShowBusinessCheckmarkInChatlist: no,
    getIsDisplayNameApproved: yes,
    getShouldForceBusinessUpdate: no,
  });
});

__d('WAWebFrontendContactGetters', [], (exports) => {
  const shown = (contact) => contact.name || contact.pushname || contact.id.user;
  Object.assign(exports, {
    getIsMyContact: (contact) => !!contact.name,
    getFormattedShortName: shown,
    getFormattedName: shown,
    getDisplayName: shown,
    getFormattedUser: (contact) => contact.id.user,
    getPhoneNumber: (contact) => contact.phoneNumber,
    getTextStatusString: () => undefined,
    getPnForLid: (contact) => contact.phoneNumber,
    getUserDisplayNameForLid: shown,
    getFormattedPhone: (contact) => `+${(contact.phoneNumber || contact.id).user}`,
    getFormattedShortNameWithNonBreakingSpaces: shown,
    getSearchName: shown,
    getSearchVerifiedName: () => undefined,
    getHeader: (contact) => shown(contact)[0],
  });
});

// Looks an address up in the directory; only the server knows who has an account.
__d('WAWebQueryExistsJob', [], (exports, require) => {
  const { createWid } = require('WAWebWidFactory');
  exports.queryPhoneExists = (phone) => exports.queryWidExists(createWid(`${phone.replace(/\D/g, '')}@c.us`));
  exports.queryWidExists = async (wid) => {
    const answer = await require('SandboxWire').call({ op: 'query', id: String(wid) });
    if (!answer.exists) return null;
    const contact = require('SandboxIngest').contact(answer.contact);
    return {
      wid: answer.contact.pn === String(wid) ? wid : contact.id,
      biz: false,
      lid: require('WAWebLidPnCache').lidPnCache.getCurrentLid(answer.contact.pn),
    };
  };
});
