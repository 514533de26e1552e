// A collection of models, indexed by the text of their ids.
__d('WAWebCollection', [], (exports, require) => {
  const EventEmitter = require('WAWebEventEmitter');

  exports.default = class Collection extends EventEmitter {
    constructor() {
      super();
      if (!this.constructor.model) throw new Error('Collection initialized without model');
      this._models = [];
      this._index = {};
    }

    static keyOf(x) {
      if (x === null || x === undefined || typeof x === 'string') return x;
      return x._serialized || (x.id ? this.keyOf(x.id) : String(x));
    }

    get modelClass() { return this.constructor.model; }
    get length() { return this._models.length; }

    get(id) { return this._index[this.constructor.keyOf(id)]; }

    assertGet(id) {
      const model = this.get(id);
      if (!model) throw new Error(`model not found ${id}`);
      return model;
    }

    add(models, options = {}) {
      return [].concat(models).map((x) => {
        const known = this.get(x.id ?? x);
        if (known) {
          if (options.merge && !(x instanceof this.modelClass)) known.set(x);
          return known;
        }
        const model = x instanceof this.modelClass ? x : new this.modelClass(x);
        if (!model.collection) model.collection = this;
        this._models.push(model);
        this._index[this.constructor.keyOf(model.id)] = model;
        if (!options.silent) this.trigger('add', model, this);
        return model;
      });
    }

    remove(models, options = {}) {
      for (const x of [].concat(models)) {
        const model = this.get(x.id ?? x);
        if (!model) continue;
        this._models.splice(this._models.indexOf(model), 1);
        delete this._index[this.constructor.keyOf(model.id)];
        if (!options.silent) this.trigger('remove', model, this);
      }
      return this;
    }

    reset() {
      this._models = [];
      this._index = {};
      this.trigger('reset');
    }

    find(id) {
      const model = this.get(id);
      if (model) return Promise.resolve(model);
      return this.findImpl ? this.findImpl(id) : Promise.resolve(this.gadd(id));
    }

    findQuery(id) { return this.find(id); }
    update(id) { return this.find(id); }
    gadd(id) { return this.get(id) || this.add({ id })[0]; }
    getModelsArray() { return this._models; }
    toArray() { return [...this._models]; }
    serialize() { return this._models.map((model) => model.serialize()); }
    toJSON() { return this.serialize(); }
    map(callback) { return this._models.map(callback); }
    forEach(callback) { this._models.forEach(callback); }
    filter(callback) { return this._models.filter(callback); }
    some(callback) { return this._models.some(callback); }
    findFirst(callback) { return this._models.find(callback); }
    includes(model) { return this._models.includes(model); }
    where(ids) { return ids.map((id) => this.get(id)).filter(Boolean); }
    head() { return this._models[0]; }
    last() { return this._models[this._models.length - 1]; }
  };
});

__d('WAWebBaseCollection', [], (exports, require) => {
  exports.BaseCollection = class BaseCollection extends require('WAWebCollection') {};
});

// Makes the module of a collection; the page's other scripts use it to define theirs.
__d('SandboxCollectionModule', [], (exports, require) => {
  const { BaseModel } = require('WAWebBaseModel');
  const { BaseCollection } = require('WAWebBaseCollection');

  exports.make = (model, methods = {}) => {
    class Collection extends BaseCollection {
      static model = model || class extends BaseModel {};
    }
    Object.assign(Collection.prototype, methods);
    return { collection: new Collection(), Collection };
  };
});
