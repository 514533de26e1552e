// Events as Backbone has them: several names in one string, `all`, a context for the handler.
__d('WAWebEventEmitter', [], (exports) => {
  exports.default = class EventEmitter {
    _handlers() {
      if (!this.__handlers) Object.defineProperty(this, '__handlers', { value: new Map(), enumerable: false });
      return this.__handlers;
    }

    on(names, callback, context) {
      if (typeof callback !== 'function') throw new TypeError('Callback parameter passed is not a function');
      const handlers = this._handlers();
      for (const name of String(names).split(/\s+/)) {
        if (!handlers.has(name)) handlers.set(name, []);
        handlers.get(name).push({ callback, context });
      }
      return this;
    }

    once(names, callback, context) {
      const wrapper = (...values) => {
        this.off(names, wrapper);
        callback.apply(context || this, values);
      };
      wrapper.original = callback;
      return this.on(names, wrapper, context);
    }

    off(names, callback) {
      const handlers = this._handlers();
      if (!names) {
        handlers.clear();
        return this;
      }
      for (const name of String(names).split(/\s+/)) {
        if (!callback) handlers.delete(name);
        else if (handlers.has(name)) {
          const kept = handlers.get(name).filter((h) => h.callback !== callback && h.callback.original !== callback);
          handlers.set(name, kept);
        }
      }
      return this;
    }

    trigger(names, ...values) {
      const handlers = this._handlers();
      for (const name of String(names).split(/\s+/)) {
        for (const { callback, context } of [...(handlers.get(name) || [])]) {
          try {
            callback.apply(context || this, values);
          } catch (error) {
            console.error('handler of', name, error);
          }
        }
        for (const { callback, context } of [...(handlers.get('all') || [])]) {
          callback.apply(context || this, [name, ...values]);
        }
      }
      return this;
    }

    listenTo(other, names, callback) {
      other.on(names, callback, this);
      return this;
    }

    stopListening() { return this; }

    removeAllListeners() {
      this._handlers().clear();
      return this;
    }
  };
});
