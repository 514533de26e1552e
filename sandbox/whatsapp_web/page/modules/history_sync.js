// How far the synchronisation after a login is.
__d('WAWebHistorySyncProgressModel', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  class HistorySyncProgressModel extends BaseModel {
    setProgress(realProgress) { this.set({ realProgress, incomplete: realProgress < 100 }); }
  }
  const progress = new HistorySyncProgressModel({
    id: 'historySyncProgress',
    incomplete: false,
    realProgress: null,
    remainingPausedSeconds: null,
  });
  exports.HistorySyncProgressModel = HistorySyncProgressModel;
  exports.getHistorySyncProgressModel = () => progress;
});
