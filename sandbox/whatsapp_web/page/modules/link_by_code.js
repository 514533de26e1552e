// Linking by a code that is typed on the phone.
__d('WAWebLinkDeviceEvents', [], (exports, require) => {
  exports.WAWebLinkDeviceEvents = new (require('WAWebEventEmitter'))();
});

__d('WAWebAltDeviceLinkingApi', [], (exports, require) => {
  exports.setPairingType = (type) => { exports.pairingType = type; };
  exports.initializeAltDeviceLinking = async () => {};
  exports.initializeQRLinking = async () => { exports.pairingType = 'QR'; };
  exports.genLinkDeviceCodeForPhoneNumber = async (number) => {
    const phone = String(number).replace(/\D/g, '');
    return (await require('SandboxWire').call({ op: 'link_code', phone })).code;
  };
  exports.startAltLinkingFlow = exports.genLinkDeviceCodeForPhoneNumber;
});
