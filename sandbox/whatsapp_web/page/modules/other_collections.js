// Collections that clients ask for and the sandbox leaves empty, and the module that lists all of them.
for (const [id, name] of [
  ['WAWebBlocklistCollection', 'BlocklistCollection'],
  ['WAWebStatusCollection', 'StatusCollection'],
  ['WAWebLabelCollection', 'LabelCollection'],
  ['WAWebBusinessProfileCollection', 'BusinessProfileCollection'],
]) {
  __d(id, [], (exports, require) => {
    const { collection, Collection } = require('SandboxCollectionModule').make();
    exports[name] = collection;
    exports[`${name}Impl`] = Collection;
  });
}

__d('WAWebGroupMetadataCollection', [], (exports, require) => {
  exports.default = require('SandboxCollectionModule').make(null, { onParentGroupChange() {} }).collection;
});

__d('WAWebNewsletterCollection', [], (exports, require) => {
  exports.default = require('SandboxCollectionModule').make().collection;
});

__d('WAWebCallCollection', [], (exports, require) => {
  const { collection, Collection } = require('SandboxCollectionModule').make(null, {
    processIncomingCall(call) {
      this.callsMap.set(call.id, call);
      return call;
    },
    setActiveCall() {},
  });
  collection.callsMap = new Map();
  exports.default = collection;
  exports.CallCollectionImpl = Collection;
});

__d('WAWebCollections', [], (exports, require) => {
  exports.Msg = require('WAWebMsgCollection').MsgCollection;
  exports.Chat = require('WAWebChatCollection').ChatCollection;
  exports.Contact = require('WAWebContactCollection').ContactCollection;
  exports.Blocklist = require('WAWebBlocklistCollection').BlocklistCollection;
  exports.Label = require('WAWebLabelCollection').LabelCollection;
  exports.BusinessProfile = require('WAWebBusinessProfileCollection').BusinessProfileCollection;
  exports.GroupMetadata = require('WAWebGroupMetadataCollection');
  exports.WAWebNewsletterCollection = require('WAWebNewsletterCollection');
});
