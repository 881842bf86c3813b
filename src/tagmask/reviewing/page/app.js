/** The page: what is open, what is in hand, and what every button and key does. */

import { Canvas } from './canvas.js';
import { beside, chosen, DECISIONS, belongs, inOrder, nextUndecided, tagsOf, toggled } from './choosing.js';
import { getGrid, getJson, getPhoto } from './connection.js';
import { History } from './history.js';
import { commandOf, grouped, pressed } from './keys.js';
import { areEqual, BACKGROUND, counted, difference, NO_LABEL, paintsOf, put } from './labels.js';
import { Panel } from './panel.js';
import { Copies, Saver } from './saving.js';
import { Strip } from './strip.js';

const $ = (id) => document.getElementById(id);
const SPACINGS = ['fine', 'medium', 'coarse'];
const WITH_MASK = ['accepted', 'corrected'];
const KEPT = 8; // images that can be undone further
const WIDEST = 400; // pixels of the largest brush
const NOTICE = 6000; // milliseconds

/** The position of the slider, 0..100, for a brush of so many pixels, and back: fine steps for small brushes. */
const slideOf = (size) => Math.round((100 * Math.log(size)) / Math.log(WIDEST));
const sizeOf = (slide) => Math.max(1, Math.round(WIDEST ** (slide / 100)));

class App {
  tool = 'brush';
  chosenValue = 1;
  size = 16;
  spacing = 'medium';
  hidden = new Set();
  isMaskShown = true;
  outlines = true;
  opacity = 55;
  open = null; // {place, photo, grid, original, history, decision, tags}
  kept = new Map();
  #opening = 0;
  #saves = 0;
  #counting = null;

  constructor(run) {
    this.run = run;
    this.images = run.images;
    this.seen = new Map(this.images.map(({ id, version }) => [id, version]));
    this.copies = new Copies(run.run);
    this.saver = new Saver(this.copies, (id) => this.seen.get(id), (news) => this.hear(news));
    this.recolour();
    this.canvas = new Canvas($('canvas'), this);
    this.panel = new Panel({ list: $('labels'), quick: $('quick'), search: $('search') }, run, this);
    this.strip = new Strip($('strip'), (place) => this.told(place), (place) => this.go(place));
  }

  /** The value that the tool in hand paints. */
  get value() { return this.tool === 'eraser' ? BACKGROUND : this.chosenValue; }

  get image() { return this.open && this.images[this.open.place]; }

  told(place) {
    const { id, version, decision, quality } = this.images[place];
    return { title: quality === null ? id : `${id}, trust ${quality.toFixed(2)}`, version, decision };
  }

  // ── images ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Choose the images anew by order, decision and class. */
  chooseImages() {
    const places = inOrder(this.images, this.run.random, $('order').value);
    this.places = chosen(this.images, places, $('filter').value, $('with').value);
    this.strip.show(this.places);
    if (this.open !== null) this.strip.mark(this.open.place);
    $('strip').toggleAttribute('data-empty', this.places.length === 0);
    this.showFacts();
  }

  /** An order or a choice has changed: begin where it begins, unless the open image belongs to it. */
  choseAnew(what) {
    this.chooseImages();
    if (what === 'order') this.go(nextUndecided(this.images, this.places, null));
    else if (this.open === null || !this.places.includes(this.open.place)) this.go(this.places[0] ?? null);
  }

  inRandomOrder() {
    $('progress-dialog').close();
    $('order').value = 'random';
    [$('filter').value, $('with').value] = ['all', ''];
    this.choseAnew('order');
  }

  go(place) { if (place !== null) this.show(place); }

  /** Open an image; what comes too late, because another was chosen meanwhile, is dropped. */
  async show(place) {
    this.#opening += 1;
    const turn = this.#opening;
    this.strip.mark(place);
    $('stage').classList.add('waiting');
    try {
      const opened = await this.fetched(place);
      if (turn === this.#opening) this.present(opened);
    } catch (error) {
      if (turn === this.#opening) this.fail(place, error);
    }
    if (turn === this.#opening) $('stage').classList.remove('waiting');
  }

  /** An image as this page left it, with all that can be undone; or as the server has it, if nobody knows it here. */
  async fetched(place) {
    const [image, kept] = [this.images[place], this.kept.get(place)];
    if (kept !== undefined && this.saver.has(image.id)) return kept;
    const { version, decision, tags } = await getJson(`images/${place}/review`);
    if (kept !== undefined && version === this.seen.get(image.id)) return kept;
    const [photo, grid] = await Promise.all([getPhoto(`images/${place}/photo`), getGrid(`images/${place}/mask`)]);
    const hasMask = WITH_MASK.includes(decision);
    const original = hasMask ? (await getGrid(`images/${place}/pseudo-mask`)).values : grid.values.slice();
    Object.assign(image, { version, decision, tags });
    this.seen.set(image.id, version);
    return { place, photo, grid, original, history: new History(), decision, tags };
  }

  /** Keep the images that were open last. */
  remember(opened) {
    this.kept.delete(opened.place);
    this.kept.set(opened.place, opened);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
  }

  /** Let the browser fetch the photograph that will probably come next. */
  fetchAhead() {
    const place = nextUndecided(this.images, this.places, this.open.place);
    if (place !== null && !this.kept.has(place)) fetch(`images/${place}/photo`, { priority: 'low' }).catch(() => {});
  }

  async states() {
    const saves = this.#saves;
    const states = await getJson('reviews');
    return saves === this.#saves && this.saver.unsaved === 0 ? states : null;
  }

  present(opened) {
    this.open = opened;
    this.remember(opened);
    $('message').hidden = true;
    this.canvas.open(opened);
    this.canvas.setRegions(null);
    this.fetchRegions();
    this.count();
    this.pickClass();
    this.panel.show(this.image, new Set([...this.counts.keys(), ...this.tagValues()]));
    this.refresh();
    this.strip.mark(opened.place);
    this.strip.refresh(opened.place);
    this.fetchAhead();
  }

  fail(place, error) {
    this.open = null;
    this.canvas.open(null);
    $('message').textContent = `${this.images[place].id} cannot be shown: ${error.message}`;
    $('message').hidden = false;
    $('stamp').hidden = true;
  }

  tagValues() { return tagsOf(this.image).map((name) => this.run.classes.indexOf(name) + 1); }

  /** A class that the image shows, unless one is chosen already. */
  pickClass() {
    const values = this.tagValues();
    if (this.chosenValue !== NO_LABEL && values.length > 0 && !values.includes(this.chosenValue)) {
      [this.chosenValue] = values;
    }
  }

  async fetchRegions() {
    const { open, spacing } = this;
    if (open === null || this.tool !== 'regions') return;
    try {
      const regions = await getGrid(`images/${open.place}/regions/${spacing}`);
      if (this.open === open && this.spacing === spacing) this.canvas.setRegions(regions);
    } catch (error) {
      this.say(`no regions: ${error.message}`);
    }
  }

  // ── changes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A stroke has ended: what is in `box` was `before`. */
  painted(before, box) {
    const pixels = difference(before, this.open.grid, box);
    if (pixels !== null) this.change({ decision: 'corrected' }, pixels);
  }

  /** Change decision, tags or pixels of the open image, so that it can be undone, and save it. */
  change(now, pixels = null) {
    const { decision, tags, history } = this.open;
    const [before, after] = [{ decision, tags }, { decision, tags, ...now }];
    history.add({ pixels, before, after });
    Object.assign(this.open, after);
    this.keep();
  }

  step(taken, pixels, state) {
    if (taken === null) return;
    if (taken.pixels !== null) {
      put(this.open.grid, taken.pixels.places, taken.pixels[pixels]);
      this.canvas.recolour(taken.pixels.box);
    }
    Object.assign(this.open, taken[state]);
    this.keep();
  }

  undo() { if (this.open !== null) this.step(this.open.history.undo(), 'before', 'before'); }

  redo() { if (this.open !== null) this.step(this.open.history.redo(), 'after', 'after'); }

  /** Save the open image as it is now. */
  keep() {
    const { place, decision, tags, grid } = this.open;
    Object.assign(this.image, { decision, tags });
    const mask = WITH_MASK.includes(decision) ? { ...grid, values: grid.values.slice() } : null;
    this.saver.save({ id: this.image.id, place, decision, tags, mask, seen: this.seen.get(this.image.id) });
    this.count();
    this.refresh();
    this.strip.refresh(place);
  }

  get isAsMade() { return areEqual(this.open.grid.values, this.open.original); }

  decide(decision) {
    if (this.open === null) return;
    if (this.open.decision !== decision) this.change({ decision });
    if ($('go-on').checked) this.nextUndecided();
  }

  accept() {
    if (this.canvas.polygon.length > 0) this.canvas.closePolygon();
    else if (this.open !== null) this.decide(this.isAsMade ? 'accepted' : 'corrected');
  }

  reject() { this.decide('rejected'); }

  startOver() {
    if (this.open === null) return;
    const { grid, original } = this.open;
    const before = grid.values.slice();
    grid.values.set(original);
    const pixels = difference(before, grid, { left: 0, top: 0, right: grid.columns, bottom: grid.rows });
    if (pixels === null && this.open.decision === null && this.open.tags === null) return;
    this.canvas.recolour();
    this.change({ decision: null, tags: null }, pixels);
  }

  toggleTag(value) {
    if (this.open === null || value === BACKGROUND || value === NO_LABEL) return;
    this.change({ tags: toggled(this.image, this.run.classes[value - 1], this.run.classes) });
  }

  // ── what the server says ───────────────────────────────────────────────────────────────────────────────────────────

  hear(news) {
    const isDone = this.saver.unsaved === 0;
    const words = {
      saving: ['busy', 'Saving …'],
      saved: isDone ? ['good', 'Saved'] : ['busy', 'Saving …'],
      lost: ['bad', `Not saved: no answer. Trying again; ${this.saver.unsaved} kept in this browser`],
      refused: ['bad', `Not saved, but kept in this browser: ${news.reason}`],
    }[news.state];
    [$('saved').dataset.state, $('saved').textContent] = words;
    if (news.state === 'saved') this.hearSaved(news);
  }

  hearSaved({ id, answer, job }) {
    this.#saves += 1;
    this.seen.set(id, answer.version);
    this.images[job.place].version = answer.version;
    this.strip.refresh(job.place);
    if (answer.replaced) this.say(`${id} had been changed in another window meanwhile. What you did here has replaced it.`);
    this.countLater();
  }

  countLater() {
    clearTimeout(this.#counting);
    this.#counting = setTimeout(() => this.fetchProgress(), 400);
  }

  async fetchProgress() {
    try {
      this.showProgress(await getJson('progress'));
    } catch (error) {
      $('progress-line').textContent = error.message;
    }
  }

  showProgress(progress) {
    const total = this.images.length;
    const number = (value) => value.toLocaleString('en').replaceAll(',', '\u202f');
    const left = progress.left === 0 ? 'all decided' : `${number(progress.left)} of ${number(total)} left`;
    $('progress-line').textContent = [left, progress.short].filter(Boolean).join(' · ');
    $('done').style.width = `${(100 * (total - progress.left)) / Math.max(1, total)}%`;
    $('tally').replaceChildren(...['accepted', 'corrected', 'rejected', 'left'].map((name) => {
      const item = document.createElement('li');
      item.dataset.decision = name;
      item.append(Object.assign(document.createElement('b'), { textContent: number(progress[name]) }), name);
      return item;
    }));
    $('sentences').replaceChildren(...progress.sentences.map((sentence) => (
      Object.assign(document.createElement('p'), { textContent: sentence }))));
    this.showChoices();
  }

  /** Another window may have changed something while nobody looked at this one. */
  async look() {
    const states = await this.states().catch(() => null);
    if (states === null) return;
    states.forEach((state, place) => {
      if (state.version === this.images[place].version) return;
      Object.assign(this.images[place], state);
      this.strip.refresh(place);
    });
    if (this.open === null || this.seen.get(this.image.id) === this.image.version) return;
    this.say(`${this.image.id} has been changed in another window; this is how it is now.`);
    this.show(this.open.place);
  }

  /** Send what an earlier page could not save, unless the server has something else meanwhile. */
  async sendCopies() {
    for (const copy of await this.copies.all().catch(() => [])) {
      const place = this.images.findIndex(({ id }) => id === copy.id);
      if (place === -1) continue;
      const send = () => this.sendCopy(place, copy);
      if (this.images[place].version === copy.seen) send();
      else {
        const words = `${copy.id}: this browser has kept work that was never saved, and the image has changed since.`;
        this.say(words, { 'Use what was kept': send, 'Drop it': () => this.copies.forget(copy.id) });
        return; // one question at a time; the next is asked when the page is opened again
      }
    }
  }

  sendCopy(place, { id, decision, tags, mask }) {
    Object.assign(this.images[place], { decision, tags });
    this.say(`${id}: what an earlier page could not save is saved now.`);
    this.saver.save({ id, place, decision, tags, mask, seen: this.seen.get(id) }).then(() => {
      if (this.open?.place === place) this.show(place);
    });
  }

  // ── looks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  count() {
    this.counts = counted(this.open.grid.values);
  }

  recolour() {
    this.paints = paintsOf(this.run.colors, this.hidden, Math.round(2.55 * this.opacity), this.outlines);
    this.canvas?.recolour();
  }

  refresh() {
    for (const tool of document.querySelectorAll('[data-tool]')) {
      tool.setAttribute('aria-pressed', tool.dataset.tool === this.tool);
    }
    $('stage').dataset.tool = this.tool;
    $('size').value = slideOf(this.size);
    $('size-shown').textContent = this.size;
    document.querySelector(`[name=spacing][value=${this.spacing}]`).checked = true;
    $('opacity').value = this.opacity;
    $('outlines').checked = this.outlines;
    $('mask-shown').checked = this.isMaskShown;
    if (this.open === null) return;
    const total = this.open.grid.values.length;
    this.panel.refresh({ value: this.value, hidden: this.hidden, counts: this.counts, total });
    document.querySelector('[data-command=undo]').disabled = !this.open.history.canUndo;
    document.querySelector('[data-command=redo]').disabled = !this.open.history.canRedo;
    $('as-corrected').hidden = this.isAsMade;
    $('decide').dataset.decision = this.open.decision ?? '';
    $('stamp').hidden = this.open.decision === null;
    $('stamp').textContent = this.open.decision ?? '';
    $('stamp').dataset.decision = this.open.decision ?? '';
    this.showFacts();
  }

  showFacts() {
    if (this.open === null) return;
    const { id, quality } = this.image;
    const at = this.places.indexOf(this.open.place);
    const where = at === -1 ? '' : `${at + 1} of ${this.places.length}`;
    $('title').textContent = id;
    document.title = `${id} – ${this.run.name} – tagmask review`;
    $('facts').textContent = [where, quality === null ? '' : `trust ${quality.toFixed(2)}`].filter(Boolean).join(' · ');
  }

  showChoices() {
    const before = $('filter').value || 'all';
    $('filter').replaceChildren(...DECISIONS.map(({ value, text }) => (
      new Option(`${text} (${this.images.filter((image) => belongs(image, value)).length})`, value))));
    $('filter').value = before;
  }

  /** Tell something for a while, or ask: answers are {words: what to do}. */
  say(text, answers = {}) {
    const box = $('notice');
    box.firstElementChild.textContent = text;
    box.lastElementChild.replaceChildren(...Object.entries(answers).map(([words, act]) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: words });
      button.addEventListener('click', () => { box.hidden = true; act(); });
      return button;
    }));
    box.hidden = false;
    clearTimeout(this.noticeTimer);
    if (Object.keys(answers).length === 0) this.noticeTimer = setTimeout(() => { box.hidden = true; }, NOTICE);
  }

  // ── commands: what buttons and keys do ─────────────────────────────────────────────────────────────────────────────

  next() { this.go(beside(this.places, this.open?.place, 1)); }

  previous() { this.go(beside(this.places, this.open?.place, -1)); }

  nextUndecided() {
    const place = nextUndecided(this.images, this.places, this.open?.place);
    if (place === null) this.say('Every image that is shown is decided.');
    else this.go(place);
  }

  takeUp(tool) {
    this.tool = tool;
    this.canvas.cancelPolygon();
    if (tool === 'regions' && this.canvas.regions === null) this.fetchRegions();
    this.refresh();
  }

  brush() { this.takeUp('brush'); }

  eraser() { this.takeUp('eraser'); }

  polygon() { this.takeUp('polygon'); }

  regions() { this.takeUp('regions'); }

  hand() { this.takeUp('hand'); }

  resize(direction) {
    if (this.tool === 'regions') {
      const at = SPACINGS.indexOf(this.spacing) + direction;
      this.space(SPACINGS[Math.min(2, Math.max(0, at))]);
      return;
    }
    const wanted = this.size + direction * Math.max(1, Math.round(this.size * 0.2));
    this.size = Math.min(WIDEST, Math.max(1, wanted));
    this.refresh();
    this.canvas.redraw();
  }

  space(spacing) {
    if (spacing === this.spacing) return;
    this.spacing = spacing;
    this.fetchRegions();
    this.refresh();
  }

  choose(value) {
    this.chosenValue = value;
    if (this.tool === 'eraser' || this.tool === 'hand') this.tool = 'brush';
    this.refresh();
  }

  background() { this.choose(BACKGROUND); }

  noLabel() { this.choose(NO_LABEL); }

  tag() { this.toggleTag(this.chosenValue); }

  cancel() { this.canvas.cancelPolygon(); }

  back() { this.canvas.takePointBack(); }

  zoomIn() { this.canvas.zoom(1.25); }

  zoomOut() { this.canvas.zoom(0.8); }

  fit() { this.canvas.fit(); }

  mask() {
    this.isMaskShown = !this.isMaskShown;
    this.refresh();
    this.canvas.redraw();
  }

  original(isHeld = true) {
    if (this.open !== null) this.canvas.showOriginal(isHeld ? { ...this.open.grid, values: this.open.original } : null);
  }

  toggleOutlines() {
    this.outlines = !this.outlines;
    this.recolour();
    this.refresh();
  }

  toggleShown(value) {
    if (value === BACKGROUND) return;
    if (!this.hidden.delete(value)) this.hidden.add(value);
    this.recolour();
    this.refresh();
  }

  veil(opacity) {
    this.opacity = Math.min(100, Math.max(0, opacity));
    this.recolour();
    this.refresh();
  }

  turn(select) {
    const list = $(select);
    list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
    this.choseAnew(select);
    this.say(`${select === 'order' ? 'order' : 'shown'}: ${list.selectedOptions[0].text}`);
  }

  help() { $('help-dialog').showModal(); }

  progress() { $('progress-dialog').showModal(); }

  /** Carry out the command of a key. */
  obey(command, name) {
    const [x, y] = { Up: [0, -1], Down: [0, 1], Left: [-1, 0], Right: [1, 0] }[name.split('Arrow')[1]] ?? [0, 0];
    const own = {
      size: () => this.resize(name === ']' ? 1 : -1),
      choose: () => { if (this.panel.order.length >= Number(name)) this.choose(this.panel.order[Number(name) - 1]); },
      cross: () => this.canvas.moveCross(x, y),
      dab: () => this.canvas.dab(),
      outlines: () => this.toggleOutlines(),
      visible: () => this.toggleShown(this.chosenValue),
      fainter: () => this.veil(this.opacity - 10),
      stronger: () => this.veil(this.opacity + 10),
      order: () => this.turn('order'),
      filter: () => this.turn('filter'),
    }[command];
    if (own === undefined) this[command]();
    else own();
  }
}

// ── the page's elements ──────────────────────────────────────────────────────────────────────────────────────────────

/** Whether a key belongs to what has the focus: a field, a list, a button that it would press. */
function isTaken(event) {
  const { target } = event;
  if (document.querySelector('dialog[open]') !== null || target.matches('select, input[type=search]')) return true;
  if (target.matches('input[type=range]') && event.key.startsWith('Arrow')) return true;
  return target.matches('button, input, a') && ['Enter', ' '].includes(event.key);
}

function listenToKeys(app) {
  document.addEventListener('keydown', (event) => {
    const name = pressed(event);
    const command = commandOf(name);
    if (isTaken(event) || command === null) return;
    event.preventDefault();
    if (name === 'Space') app.canvas.isSpaceDown = true;
    if (event.repeat && ['original', 'accept', 'reject', 'dab'].includes(command)) return;
    app.obey(command, name);
  });
  document.addEventListener('keyup', (event) => {
    if (event.key === ' ') app.canvas.isSpaceDown = false;
    if (event.key.toLowerCase() === 'o') app.original(false);
  });
}

function listenToButtons(app) {
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (button === null) return;
    if (button.dataset.command) app[button.dataset.command]();
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

function listenToFields(app) {
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

function listenToWindow(app) {
  window.addEventListener('focus', () => app.look());
  window.addEventListener('beforeunload', (event) => { if (app.saver.unsaved > 0) event.preventDefault(); });
}

function writeHelp() {
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

async function begin() {
  writeHelp();
  let run;
  try {
    run = await getJson('run');
  } catch (error) {
    $('message').textContent = `The run cannot be shown: ${error.message}`;
    $('message').hidden = false;
    return;
  }
  const app = new App(run);
  $('with').append(new Option('any class', ''), ...run.classes.map((name) => new Option(name, name)));
  app.showChoices();
  listenToKeys(app);
  listenToButtons(app);
  listenToFields(app);
  listenToWindow(app);
  app.chooseImages();
  app.refresh();
  await app.sendCopies();
  await app.show(nextUndecided(app.images, app.places, null) ?? 0);
  await app.fetchProgress();
}

begin();
