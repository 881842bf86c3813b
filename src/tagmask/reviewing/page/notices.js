/** What the page says: notices, whether everything is saved, how far the review has come, its keys. */

import { belongs, DECISIONS } from './choosing.js';
import { grouped } from './keys.js';

const NOTICE = 6000; // milliseconds

const $ = (id) => document.getElementById(id);
const made = (name, properties) => Object.assign(document.createElement(name), properties);

let hiding = null;

/** Tell something for a while, or ask: answers are {words: what to do}. */
export function say(text, answers = {}) {
  const box = $('notice');
  box.firstElementChild.textContent = text;
  box.lastElementChild.replaceChildren(...Object.entries(answers).map(([words, act]) => {
    const button = made('button', { type: 'button', textContent: words });
    button.addEventListener('click', () => { box.hidden = true; act(); });
    return button;
  }));
  box.hidden = false;
  clearTimeout(hiding);
  if (Object.keys(answers).length === 0) hiding = setTimeout(() => { box.hidden = true; }, NOTICE);
}

/** Say that something cannot be shown at all. */
export function sayInstead(text) {
  $('message').textContent = text;
  $('message').hidden = false;
}

/** Whether everything is saved, from the news of the saver and the number of changes that are not. */
export function showSaved({ state, reason }, unsaved) {
  const words = {
    saving: ['busy', 'Saving …'],
    saved: unsaved === 0 ? ['good', 'Saved'] : ['busy', 'Saving …'],
    lost: ['bad', `Not saved: no answer. Trying again; ${unsaved} kept in this browser`],
    refused: ['bad', `Not saved, but kept in this browser: ${reason}`],
  }[state];
  [$('saved').dataset.state, $('saved').textContent] = words;
}

const grouping = (value) => value.toLocaleString('en').replaceAll(',', '\u202f');

/** How far the review has come, and what it says about the masks. */
export function showProgress(progress, total) {
  const left = progress.left === 0 ? 'all decided' : `${grouping(progress.left)} of ${grouping(total)} left`;
  $('progress-line').textContent = [left, progress.short].filter(Boolean).join(' · ');
  $('done').style.width = `${(100 * (total - progress.left)) / Math.max(1, total)}%`;
  $('tally').replaceChildren(...['accepted', 'corrected', 'rejected', 'left'].map((name) => {
    const item = made('li', {});
    item.append(made('b', { textContent: grouping(progress[name]) }), name);
    return item;
  }));
  $('sentences').replaceChildren(...progress.sentences.map((sentence) => made('p', { textContent: sentence })));
}

/** How many images each choice has. */
export function showChoices(images) {
  const before = $('filter').value || 'all';
  $('filter').replaceChildren(...DECISIONS.map(({ value, text }) => (
    new Option(`${text} (${images.filter((image) => belongs(image, value)).length})`, value))));
  $('filter').value = before;
}

/** Write the help: every key with what it does. */
export function writeHelp() {
  for (const [group, keys] of grouped()) {
    const list = document.createElement('dl');
    list.append(Object.assign(document.createElement('h3'), { textContent: group }));
    for (const { names, text } of keys) {
      const term = Object.assign(document.createElement('dt'), { textContent: names });
      list.append(term, Object.assign(document.createElement('dd'), { textContent: text }));
    }
    $('keys').append(list);
  }
}
