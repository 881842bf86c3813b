/** Keys, buttons and fields, and which command of the app each gives. */

import { commandOf, pressed } from './keys.js';

const WIDEST = 400; // pixels of the largest brush

const $ = (id) => document.getElementById(id);

/** The position of the slider, 0..100, for a brush of so many pixels, and back: fine steps for small brushes. */
export const slideOf = (size) => Math.round((100 * Math.log(size)) / Math.log(WIDEST));
export const sizeOf = (slide) => Math.max(1, Math.round(WIDEST ** (slide / 100)));

/** A brush a step larger or smaller. */
export function resized(size, direction) {
  return Math.min(WIDEST, Math.max(1, size + direction * Math.max(1, Math.round(size * 0.2))));
}

const CHANGES = ['accept', 'reject', 'startOver', 'tag', 'undo', 'redo', 'dab'];

/** Carry out a command; `name` is that of the key. */
export function obey(app, command, name = '') {
  if (app.isWaiting && CHANGES.includes(command)) return;
  const [x, y] = { Up: [0, -1], Down: [0, 1], Left: [-1, 0], Right: [1, 0] }[name.split('Arrow')[1]] ?? [0, 0];
  const own = {
    size: () => app.resize(name === ']' ? 1 : -1),
    choose: () => { if (app.panel.order.length >= Number(name)) app.choose(app.panel.order[Number(name) - 1]); },
    cross: () => app.canvas.moveCross(x, y),
    dab: () => app.canvas.dab(),
    outlines: () => app.toggleOutlines(),
    visible: () => app.toggleShown(app.chosenValue),
    fainter: () => app.veil(app.opacity - 10),
    stronger: () => app.veil(app.opacity + 10),
    order: () => app.turn('order'),
    filter: () => app.turn('filter'),
  }[command];
  if (own === undefined) app[command]();
  else own();
}

// ── listening ──────────────────────────────────────────────────────────────────────────────────────────────

/** Whether a key belongs to what has the focus: a field, a list, a button that it would press. */
function isTaken(event) {
  const { target } = event;
  if (document.querySelector('dialog[open]') !== null || target.matches('select, input[type=search]')) return true;
  if (target.matches('input[type=range]') && event.key.startsWith('Arrow')) return true;
  return target.matches('button, input, a') && ['Enter', ' '].includes(event.key);
}

export function listenToKeys(app) {
  document.addEventListener('keydown', (event) => {
    const name = pressed(event);
    const command = commandOf(name);
    if (isTaken(event) || command === null) return;
    event.preventDefault();
    if (name === 'Space') app.canvas.isSpaceDown = true;
    if (event.repeat && ['original', 'accept', 'reject', 'dab'].includes(command)) return;
    obey(app, command, name);
  });
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') app.canvas.isSpaceDown = false;
    if (event.key.toLowerCase() === 'o') app.original(false);
  });
}

export function listenToButtons(app) {
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button === null) return;
    if (button.dataset.command) obey(app, button.dataset.command);
    if (button.dataset.tool) app.takeUp(button.dataset.tool);
    if (event.detail > 0 && button.closest('dialog') === null) button.blur(); // else Space would press it again
  });
  for (const name of ['pointerdown', 'pointerup', 'pointerleave', 'pointercancel']) {
    $('original').addEventListener(name, () => app.original(name === 'pointerdown'));
  }
  $('more').addEventListener('click', () => {
    const isOpen = $('side').classList.toggle('open');
    $('more').setAttribute('aria-expanded', isOpen);
  });
}

export function listenToFields(app) {
  const on = (id, name, does) => $(id).addEventListener(name, () => does($(id)));
  on('size', 'input', ({ value }) => {
    app.size = sizeOf(Number(value));
    app.refresh();
  });
  on('opacity', 'input', ({ value }) => app.veil(Number(value)));
  on('outlines', 'change', () => app.toggleOutlines());
  on('mask-shown', 'change', () => app.mask());
  for (const id of ['order', 'filter', 'with']) on(id, 'change', (list) => { app.choseAnew(id); list.blur(); });
  for (const radio of document.querySelectorAll('[name=spacing]')) {
    radio.addEventListener('change', () => { app.space(radio.value); radio.blur(); });
  }
}

export function listenToWindow(app) {
  window.addEventListener('focus', () => app.look());
  window.addEventListener('beforeunload', (event) => { if (app.saver.unsaved > 0) event.preventDefault(); });
}
