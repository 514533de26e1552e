// Elements: found, made, drawn.
export const $ = (id) => document.getElementById(id);
export const digits = (text) => text.replace(/\D/g, '');

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const shown = new Map();

// Redraws a list only when what it shows has changed, so that nothing moves under the pointer.
export function draw(id, data, build) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return false;
  shown.set(id, text);
  $(id).replaceChildren(...build(data));
  return true;
}
