// Who am I, then talk to the server.
(async () => {
  await window.require('SandboxDeviceStore').load();
  window.Debug = { VERSION: window.require('WAWebBuildConstants').VERSION_STR };
  window.require('SandboxWire').connect();
})();
