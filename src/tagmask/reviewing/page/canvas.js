/** The canvas: one photograph, its mask over it, and what a mouse, a pen or fingers do to them.
 *
 * It knows where things are and which tool is in hand. What is painted is told to its `owner`, which keeps it.
 */

import { drawPointer, drawPolygon } from './drawing.js';
import { RegionLayer, MaskLayer } from './layers.js';
import { fillPolygon, fillRegion, joined, paintLine, valueAt } from './labels.js';
import { fitted, held, moved, pinched, toImage, toScreen, zoomed } from './view.js';

const CLOSE = 12; // screen pixels around the first point of a polygon that close it
const STEP = 12; // screen pixels that a key moves the cross

const isPen = (event) => event.pointerType === 'pen';
const isEraserEnd = (event) => isPen(event) && (event.buttons & 32) !== 0;

export class Canvas {
  #element;
  #context;
  #owner;
  #view = null;
  #isFitted = true;
  #pointers = new Map();
  #stroke = null;
  #panning = false;
  #hasPen = false;
  #isDrawn = true;

  /**
   * @param element a canvas that fills its box.
   * @param owner {tool, value, size, look, begin(), end(grid, before, box)}: what is in hand, and who keeps strokes.
   */
  constructor(element, owner) {
    this.#element = element;
    this.#context = element.getContext('2d');
    this.#owner = owner;
    this.picture = null;
    this.pointer = null;
    this.isCross = false;
    this.polygon = [];
    this.isSpaceDown = false;
    this.original = null;
    new ResizeObserver(() => this.#resize()).observe(element);
    const on = (name, does) => element.addEventListener(name, does.bind(this), { passive: false });
    on('pointerdown', this.#down);
    on('pointermove', this.#move);
    on('pointerup', this.#up);
    on('pointercancel', this.#cancelled);
    on('pointerleave', this.#leave);
    on('dblclick', this.closePolygon);
    on('wheel', this.#wheel);
    on('contextmenu', (event) => event.preventDefault());
  }

  // ── what is shown ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Show an image {photo, grid, regions}; null: none. */
  open(picture) {
    this.#giveUp();
    this.picture = picture;
    this.polygon = [];
    this.original = null;
    this.mask = picture && new MaskLayer(picture.grid);
    this.regions = null;
    this.recolour();
    this.fit();
  }

  /** Draw a box of the mask anew, or all of it. */
  recolour(box) {
    if (this.picture === null) return;
    this.mask.draw(this.original ?? this.picture.grid, this.#owner.paints, box);
    this.redraw();
  }

  /** Show another mask in place of the one that is painted; null: that one again. */
  showOriginal(grid) {
    this.original = grid;
    this.recolour();
  }

  setRegions(regions) {
    this.regions = regions && new RegionLayer(regions);
    this.redraw();
  }

  redraw() {
    if (!this.#isDrawn) return;
    this.#isDrawn = false;
    requestAnimationFrame(() => {
      this.#isDrawn = true;
      this.#draw();
    });
  }

  get #box() { return { width: this.#element.clientWidth, height: this.#element.clientHeight }; }

  #resize() {
    const dots = window.devicePixelRatio;
    this.#element.width = Math.round(this.#element.clientWidth * dots);
    this.#element.height = Math.round(this.#element.clientHeight * dots);
    if (this.picture !== null && (this.#isFitted || this.#view === null)) this.fit();
    this.#draw();
  }

  #draw() {
    const [context, dots] = [this.#context, window.devicePixelRatio];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#element.width, this.#element.height);
    if (this.picture === null || this.#view === null) return;
    const { scale, x, y } = this.#view;
    const { rows, columns } = this.picture.grid;
    context.setTransform(dots * scale, 0, 0, dots * scale, dots * x, dots * y);
    context.imageSmoothingQuality = 'high';
    context.imageSmoothingEnabled = scale * dots < 4;
    context.drawImage(this.picture.photo, 0, 0, columns, rows);
    context.imageSmoothingEnabled = scale * dots < 1;
    if (this.#owner.isMaskShown || this.original !== null) context.drawImage(this.mask.picture, 0, 0);
    if (this.regions !== null && this.#owner.tool === 'regions' && this.original === null) {
      context.drawImage(this.regions.borders, 0, 0);
      context.drawImage(this.regions.glow.picture, 0, 0);
    }
    context.setTransform(dots, 0, 0, dots, 0, 0);
    if (this.polygon.length > 0) drawPolygon(context, this.polygon.map((each) => toScreen(this.#view, each)), this.pointer);
    if (this.pointer !== null) {
      const hasBrush = ['brush', 'eraser'].includes(this.#owner.tool);
      drawPointer(context, this.pointer, hasBrush ? (this.#owner.size / 2) * this.#view.scale : 0, this.isCross);
    }
  }

  // ── where it is shown ──────────────────────────────────────────────────────────────────────────────────────────────

  fit() {
    if (this.picture === null) return;
    this.#view = fitted(this.picture.grid, this.#box);
    this.#isFitted = true;
    this.redraw();
  }

  /** Larger or smaller around a point of the screen; the middle by default. */
  zoom(factor, at = { x: this.#box.width / 2, y: this.#box.height / 2 }) {
    if (this.picture !== null) this.#see(zoomed(this.#view, factor, at, this.#smallest));
  }

  get #smallest() { return fitted(this.picture.grid, this.#box).scale / 2; }

  #see(view) {
    this.#view = held(view, this.picture.grid, this.#box);
    this.#isFitted = false;
    this.redraw();
  }

  #wheel(event) {
    event.preventDefault();
    if (this.picture === null) return;
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0016)), this.#at(event));
  }

  // ── pointers ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #at({ clientX, clientY }) {
    const { left, top } = this.#element.getBoundingClientRect();
    return { x: clientX - left, y: clientY - top };
  }

  /** Whether a pointer moves the image: the hand, the middle button, Space, or a finger beside a pen. */
  #isForMoving(event) {
    return this.#owner.tool === 'hand' || event.button === 1 || this.isSpaceDown
      || (event.pointerType === 'touch' && this.#hasPen) || this.original !== null;
  }

  #down(event) {
    if (this.picture === null) return;
    event.preventDefault();
    this.#element.focus({ preventScroll: true });
    this.#element.setPointerCapture(event.pointerId);
    this.#hasPen ||= isPen(event);
    this.isCross = false;
    this.#pointers.set(event.pointerId, this.#at(event));
    this.pointer = this.#at(event);
    if (this.#pointers.size > 1) {
      this.#giveUp();
      this.#panning = false;
    } else if (this.#isForMoving(event)) {
      this.#panning = true;
    } else if (event.button === 0 || event.button === 2 || event.button === 5) {
      this.#begin(this.pointer, event.button === 2 || isEraserEnd(event));
    }
  }

  #move(event) {
    if (this.picture === null) return;
    const [before, at] = [this.#pointers.get(event.pointerId), this.#at(event)];
    this.isCross = false;
    this.pointer = event.pointerType === 'touch' && before === undefined ? null : at;
    if (before === undefined) this.#hover();
    else if (this.#pointers.size === 2) this.#pinch(event.pointerId, at);
    else if (this.#panning) this.#see(moved(this.#view, at.x - before.x, at.y - before.y));
    else if (this.#stroke !== null) {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const each of all.length > 0 ? all : [event]) this.#continue(this.#at(each));
    }
    if (before !== undefined) this.#pointers.set(event.pointerId, at);
    this.redraw();
  }

  #pinch(id, at) {
    const before = [...this.#pointers.values()];
    const after = [...this.#pointers.entries()].map(([each, point]) => (each === id ? at : point));
    this.#see(pinched(this.#view, before, after, this.#smallest));
  }

  #hover() {
    if (this.regions === null || this.#owner.tool !== 'regions') return;
    this.regions.choose(valueAt(this.regions.regions, toImage(this.#view, this.pointer)));
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (event.pointerType === 'touch') this.pointer = null;
    this.#panning = false;
    this.#finish();
    this.redraw();
  }

  #cancelled(event) {
    this.#giveUp();
    this.#up(event);
  }

  #leave() {
    if (this.#pointers.size > 0 || this.isCross) return;
    this.pointer = null;
    this.regions?.choose(null);
    this.redraw();
  }

  // ── tools ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(at, isErasing) {
    const point = toImage(this.#view, at);
    if (this.#owner.tool === 'polygon') {
      this.#addPoint(at, point);
      return;
    }
    const { grid } = this.picture;
    const value = isErasing ? 0 : this.#owner.value;
    this.#stroke = { before: grid.values.slice(), box: null, last: point, value };
    this.#continue(at);
  }

  #continue(at) {
    const [point, stroke, { grid }] = [toImage(this.#view, at), this.#stroke, this.picture];
    let box = null;
    if (this.#owner.tool !== 'regions') {
      box = paintLine(grid, this.#settled(stroke.last), this.#settled(point), this.#owner.size / 2, stroke.value);
    } else if (this.regions !== null) {
      const region = valueAt(this.regions.regions, point);
      if (region !== null) box = fillRegion(grid, this.regions.regions, region, stroke.value);
      this.regions.choose(region);
    }
    stroke.last = point;
    stroke.box = joined(stroke.box, box);
    if (box !== null) this.recolour(box);
  }

  /** The smallest brush paints single pixels. */
  #settled(point) {
    return this.#owner.size > 1 ? point : { x: Math.floor(point.x) + 0.5, y: Math.floor(point.y) + 0.5 };
  }

  #finish() {
    const stroke = this.#stroke;
    this.#stroke = null;
    if (stroke !== null) this.#owner.painted(stroke.before, stroke.box);
  }

  /** Take back a stroke that was not meant: a second finger has come down. */
  #giveUp() {
    if (this.#stroke === null) return;
    this.picture.grid.values.set(this.#stroke.before);
    this.#stroke = null;
    this.recolour();
  }

  #addPoint(at, point) {
    const first = this.polygon.length > 2 ? toScreen(this.#view, this.polygon[0]) : null;
    if (first !== null && Math.hypot(first.x - at.x, first.y - at.y) <= CLOSE) this.closePolygon();
    else this.polygon.push(point);
    this.redraw();
  }

  closePolygon() {
    const [points, { grid }] = [this.polygon, this.picture ?? {}];
    this.polygon = [];
    this.redraw();
    if (points.length < 3) return;
    const before = grid.values.slice();
    const box = fillPolygon(grid, points, this.#owner.value);
    this.recolour(box);
    this.#owner.painted(before, box);
  }

  cancelPolygon() {
    this.polygon = [];
    this.redraw();
  }

  takePointBack() {
    this.polygon.pop();
    this.redraw();
  }

  // ── without a mouse ────────────────────────────────────────────────────────────────────────────────────────────────

  moveCross(dx, dy) {
    if (this.picture === null) return;
    const { width, height } = this.#box;
    const from = this.pointer ?? { x: width / 2, y: height / 2 };
    this.pointer = {
      x: Math.min(width, Math.max(0, from.x + STEP * dx)), y: Math.min(height, Math.max(0, from.y + STEP * dy)),
    };
    this.isCross = true;
    this.#hover();
    this.redraw();
  }

  dab() {
    if (this.picture === null || !this.isCross || this.original !== null || this.#owner.tool === 'hand') return;
    this.#begin(this.pointer, false);
    this.#finish();
  }
}
