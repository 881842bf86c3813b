/** The review in the page: what is open, what is in hand, what is changed and saved. */

import { Album, WITH_MASK } from './album.js';
import { Canvas } from './canvas.js';
import { beside, chosen, inOrder, nextUndecided, tagsOf, toggled } from './choosing.js';
import { resized, slideOf } from './commands.js';
import { getGrid, getJson } from './connection.js';
import { areEqual, BACKGROUND, counted, difference, NO_LABEL, paintsOf, put, wholeBox } from './labels.js';
import { say, sayInstead, showChoices, showProgress, showSaved } from './notices.js';
import { Panel } from './panel.js';
import { Copies, Saver } from './saving.js';
import { Strip } from './strip.js';

const $ = (id) => document.getElementById(id);
const SPACINGS = ['fine', 'medium', 'coarse'];
export class App {
  tool = 'brush';
  chosenValue = 1;
  size = 16;
  spacing = 'medium';
  hidden = new Set();
  isMaskShown = true;
  outlines = true;
  opacity = 55;
  open = null; // {place, photo, grid, original, history, decision, tags}
  #opening = 0;
  #saves = 0;
  #counting = null;

  constructor(run) {
    this.run = run;
    this.images = run.images;
    this.seen = new Map(this.images.map(({ id, version }) => [id, version]));
    this.copies = new Copies(run.run);
    this.saver = new Saver(this.copies, (id) => this.seen.get(id), (news) => this.hear(news));
    this.album = new Album(this.images, this.seen, this.saver);
    this.recolour();
    this.canvas = new Canvas($('canvas'), this);
    this.panel = new Panel({ list: $('labels'), quick: $('quick'), search: $('search') }, run, this);
    this.strip = new Strip($('strip'), (place) => this.told(place), (place) => this.go(place));
  }

  /** The value that the tool in hand paints. */
  get value() { return this.tool === 'eraser' ? BACKGROUND : this.chosenValue; }

  /** Whether another image is on its way: what is done now is not meant for the one that is still shown. */
  get isWaiting() { return $('stage').classList.contains('waiting'); }

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
      const opened = await this.album.open(place);
      if (turn === this.#opening) this.present(opened);
    } catch (error) {
      if (turn === this.#opening) this.fail(place, error);
    }
    if (turn === this.#opening) $('stage').classList.remove('waiting');
  }

  /** Let the browser fetch the photograph that will probably come next. */
  fetchAhead() {
    const place = nextUndecided(this.images, this.places, this.open.place);
    if (place !== null && !this.album.has(place)) fetch(`images/${place}/photo`, { priority: 'low' }).catch(() => {});
  }

  async states() {
    const saves = this.#saves;
    const states = await getJson('reviews');
    return saves === this.#saves && this.saver.unsaved === 0 ? states : null;
  }

  present(opened) {
    this.open = opened;
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
    sayInstead(`${this.images[place].id} cannot be shown: ${error.message}`);
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
      say(`no regions: ${error.message}`);
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
    const pixels = difference(before, grid, wholeBox(grid));
    if (pixels === null && this.open.decision === null && this.open.tags === null) return;
    this.canvas.recolour();
    this.change({ decision: null, tags: null }, pixels);
  }

  toggleTag(value) {
    if (this.open === null || this.isWaiting || value === BACKGROUND || value === NO_LABEL) return;
    this.change({ tags: toggled(this.image, this.run.classes[value - 1], this.run.classes) });
  }

  // ── what the server says ───────────────────────────────────────────────────────────────────────────────────────────

  hear(news) {
    showSaved(news, this.saver.unsaved);
    if (news.state === 'saved') this.hearSaved(news);
  }

  hearSaved({ id, answer, job }) {
    this.#saves += 1;
    this.seen.set(id, answer.version);
    this.images[job.place].version = answer.version;
    this.strip.refresh(job.place);
    if (answer.replaced) say(`${id} had been changed in another window meanwhile. What you did here has replaced it.`);
    this.countLater();
  }

  countLater() {
    clearTimeout(this.#counting);
    this.#counting = setTimeout(() => this.fetchProgress(), 400);
  }

  async fetchProgress() {
    try {
      showProgress(await getJson('progress'), this.images.length);
      showChoices(this.images);
    } catch (error) {
      $('progress-line').textContent = error.message;
    }
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
    say(`${this.image.id} has been changed in another window; this is how it is now.`);
    this.show(this.open.place);
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

  // ── commands: what buttons and keys do ─────────────────────────────────────────────────────────────────────────────

  next() { this.go(beside(this.places, this.open?.place, 1)); }

  previous() { this.go(beside(this.places, this.open?.place, -1)); }

  nextUndecided() {
    const place = nextUndecided(this.images, this.places, this.open?.place);
    if (place === null) say('Every image that is shown is decided.');
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
    this.size = resized(this.size, direction);
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
    say(`${select === 'order' ? 'order' : 'shown'}: ${list.selectedOptions[0].text}`);
  }

  help() { $('help-dialog').showModal(); }

  progress() { $('progress-dialog').showModal(); }
}
