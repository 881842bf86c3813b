/** The list of what can be painted: background, no label, and the classes, with their tags and whether they are shown. */

import { BACKGROUND, NO_LABEL } from './labels.js';
import { share, tagsOf } from './choosing.js';

const MANY = 14; // classes beyond which those of the image come first, and there is a field to find others

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const icon = (name) => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.append(document.createElementNS('http://www.w3.org/2000/svg', 'use'));
  svg.firstChild.setAttribute('href', `#${name}`);
  return svg;
};

/** Values in the order they are listed; the first nine classes have keys. */
export function listed(classes, present, wanted) {
  const values = classes.map((_, index) => index + 1);
  const order = classes.length <= MANY ? values
    : [...values.filter((value) => present.has(value)), ...values.filter((value) => !present.has(value))];
  const words = wanted.trim().toLowerCase();
  return words === '' ? order : order.filter((value) => classes[value - 1].toLowerCase().includes(words));
}

export class Panel {
  #list;
  #quick;
  #search;
  #run;
  #owner;
  #rows = new Map();

  /**
   * @param list, quick, search elements: all classes, those of the image for small screens, and the field to find one.
   * @param run {classes, colors}.
   * @param owner {choose(value), toggleTag(value), toggleShown(value)}.
   */
  constructor({ list, quick, search }, run, owner) {
    [this.#list, this.#quick, this.#search, this.#run, this.#owner] = [list, quick, search, run, owner];
    this.order = [];
    search.hidden = run.classes.length <= MANY;
    search.addEventListener('input', () => this.show(this.image, this.present));
  }

  /** List what an image can be painted with; the classes of a long list that it has come first. */
  show(image, present) {
    [this.image, this.present] = [image, present];
    this.order = listed(this.#run.classes, present, this.#search.value);
    this.#rows = new Map([BACKGROUND, NO_LABEL, ...this.order].map((value) => [value, this.#row(value)]));
    this.#list.replaceChildren(...[...this.#rows.values()].map(({ row }) => row));
    const first = [...this.order].sort((a, b) => present.has(b) - present.has(a));
    this.#quick.replaceChildren(...[...first, BACKGROUND, NO_LABEL].map((value) => this.#chip(value)));
  }

  #chip(value) {
    const choose = element('button', { type: 'button' }, this.#swatch(value), this.#name(value));
    choose.addEventListener('click', () => this.#owner.choose(value));
    const chip = element('li', {}, choose);
    chip.dataset.value = value;
    return chip;
  }

  #name(value) {
    if (value === BACKGROUND) return 'background';
    return value === NO_LABEL ? 'no label' : this.#run.classes[value - 1];
  }

  #swatch(value) {
    const swatch = element('span', { className: 'swatch' });
    if (value === BACKGROUND) swatch.classList.add('empty');
    else if (value === NO_LABEL) swatch.classList.add('hatched');
    else swatch.style.background = `rgb(${this.#run.colors[value].join(' ')})`;
    return swatch;
  }

  #row(value) {
    const isClass = value !== BACKGROUND && value !== NO_LABEL;
    const name = this.#name(value);
    const at = this.order.indexOf(value);
    const key = isClass ? (at < 9 ? String(at + 1) : '') : value === BACKGROUND ? '0' : 'N';
    const count = element('span', { className: 'share' });
    const choose = element('button', { type: 'button', className: 'choose' }, this.#swatch(value),
      element('span', { className: 'name', textContent: name }), count, element('kbd', { textContent: key }));
    choose.addEventListener('click', () => this.#owner.choose(value));
    const row = element('li', {}, choose);
    row.dataset.value = value;
    if (!isClass) row.append(element('span'));
    const tag = isClass ? this.#tag(value, name, row) : null;
    const eye = value === BACKGROUND ? null : this.#eye(value, name, row);
    if (eye === null) row.append(element('span'));
    return { row, choose, count, tag, eye };
  }

  #tag(value, name, row) {
    const box = element('input', { type: 'checkbox', title: `the image shows ${name} (T)` });
    box.setAttribute('aria-label', `tag ${name}`);
    box.addEventListener('change', () => this.#owner.toggleTag(value));
    row.append(element('label', { className: 'tag' }, box));
    return box;
  }

  #eye(value, name, row) {
    const eye = element('button', { type: 'button', className: 'eye', title: `show ${name} or hide it (V)` }, icon('eye'));
    eye.setAttribute('aria-label', `show ${name}`);
    eye.addEventListener('click', () => this.#owner.toggleShown(value));
    row.append(eye);
    return eye;
  }

  /** Bring every row up to date. */
  refresh({ value, hidden, counts, total }) {
    const tags = tagsOf(this.image);
    for (const chip of this.#quick.children) {
      chip.firstChild.setAttribute('aria-pressed', Number(chip.dataset.value) === value);
      chip.classList.toggle('tagged', tags.includes(this.#name(Number(chip.dataset.value))));
    }
    for (const [each, { row, choose, count, tag, eye }] of this.#rows) {
      choose.setAttribute('aria-pressed', each === value);
      count.textContent = share(counts.get(each), total);
      eye?.setAttribute('aria-pressed', !hidden.has(each));
      if (tag === null) continue;
      tag.checked = tags.includes(this.#run.classes[each - 1]);
      row.classList.toggle('untagged', !tag.checked && counts.has(each));
      tag.title = row.classList.contains('untagged') ? 'painted, but not among the tags (T)' : 'tag of the image (T)';
    }
  }
}
