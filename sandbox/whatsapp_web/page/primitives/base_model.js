// A model: attributes that are properties too, `change` and `change:<name>` on itself and on its collection.
__d('WAWebBaseModel', [], (exports, require) => {
  const EventEmitter = require('WAWebEventEmitter');

  class BaseModel extends EventEmitter {
    constructor(attributes = {}, options = {}) {
      super();
      Object.defineProperty(this, 'attributes', { value: {}, enumerable: false });
      Object.defineProperty(this, 'collection', { value: options.collection, writable: true, enumerable: false });
      this.set({ ...(this.constructor.defaults || {}), ...attributes }, { silent: true });
      this.initialize?.();
    }

    set(key, value, options = {}) {
      const patch = typeof key === 'object' ? key : { [key]: value };
      const { silent } = typeof key === 'object' ? value || {} : options;
      const changed = [];
      for (const [name, next] of Object.entries(patch)) {
        this._define(name);
        const previous = this.attributes[name];
        this.attributes[name] = next;
        if (previous !== next) changed.push([name, next, previous]);
      }
      if (!silent && changed.length) {
        for (const [name, next, previous] of changed) this._emit(`change:${name}`, next, previous);
        this._emit('change');
      }
      return this;
    }

    _define(name) {
      if (name in this.attributes || name in Object.getPrototypeOf(this)) return;
      Object.defineProperty(this, name, {
        enumerable: true,
        configurable: true,
        get: () => this.attributes[name],
        set: (value) => this.set(name, value),
      });
    }

    _emit(name, ...values) {
      this.trigger(name, this, ...values);
      this.collection?.trigger(name, this, ...values);
    }

    get(key) { return this.attributes[key]; }
    unset(key) { return this.set(key, undefined); }
    has(key) { return this.attributes[key] !== undefined; }

    serialize() {
      const result = {};
      for (const [name, value] of Object.entries(this.attributes)) {
        if (value === undefined) continue;
        result[name] = value && typeof value.serialize === 'function' ? value.serialize() : value;
      }
      return result;
    }

    toJSON() { return this.serialize(); }
    unsafe() { return this; }
    delete() { this.collection?.remove(this); }
    isState() { return true; }
  }

  exports.BaseModel = BaseModel;
  exports.defineModel = (model) => model;
});
