// The module loader, with the entry points that injected clients look for: __d, require, importNamespace, ErrorGuard and
// require('__debug').modulesMap. A module with a `default` export gives that default from require() and its whole
// namespace from importNamespace(); one without gives its exports from both.
(() => {
  const modulesMap = {};

  function evaluate(id) {
    const module = modulesMap[id];
    if (!module) throw new Error(`Requiring unknown module "${id}"`);
    if (!module.resolved) {
      module.resolved = true;
      module.exports = {};
      // The page's own code never goes through window.require, which clients may replace.
      module.factory(module.exports, require);
    }
    return module.exports;
  }

  function require(id) {
    if (id === '__debug') return { modulesMap };
    const exports = evaluate(id);
    return 'default' in exports ? exports.default : exports;
  }

  window.__d = (id, dependencies, factory) => {
    modulesMap[id] = { id, dependencies, factory, exports: null, resolved: false };
  };
  window.require = require;
  window.importNamespace = evaluate;
  window.ErrorGuard = {
    skipGuardGlobal() {},
    applyWithGuard: (callback, context, parameters) => callback.apply(context, parameters || []),
  };
})();
