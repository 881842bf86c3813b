/** Pictures as large as the image, from which the canvas is drawn: the mask, and the borders of regions. */

import { colour, colourBorders, joined, placesOf, rgba, wholeBox } from './labels.js';

const BORDER = rgba(255, 255, 255, 90);
const CHOSEN = rgba(255, 255, 255, 110);

/** A picture of one number a pixel that is written box by box. */
class Layer {
  constructor({ rows, columns }) {
    this.picture = Object.assign(document.createElement('canvas'), { width: columns, height: rows });
    this.context = this.picture.getContext('2d');
    this.data = new ImageData(columns, rows);
    this.pixels = new Uint32Array(this.data.data.buffer);
  }

  show({ left, top, right, bottom }) {
    this.context.putImageData(this.data, 0, 0, left, top, right - left, bottom - top);
  }
}

export class MaskLayer extends Layer {
  /** Draw a box of a mask; all of it by default. */
  draw(grid, paints, box = wholeBox(grid)) {
    this.show(colour(grid, this.pixels, box, paints));
  }
}

export class RegionLayer extends Layer {
  constructor(regions) {
    super(regions);
    this.regions = regions;
    this.chosen = null;
    colourBorders(regions, this.pixels, BORDER);
    this.show(wholeBox(regions));
    this.borders = this.picture;
    this.glow = new Layer(regions);
    this.lit = { places: [], box: null };
  }

  /** Light up one region; null: none. */
  choose(region) {
    if (region === this.chosen) return;
    this.chosen = region;
    const before = this.lit;
    this.lit = region === null ? { places: [], box: null } : placesOf(this.regions, region);
    for (const at of before.places) this.glow.pixels[at] = 0;
    for (const at of this.lit.places) this.glow.pixels[at] = CHOSEN;
    const box = joined(before.box, this.lit.box);
    if (box !== null) this.glow.show(box);
  }
}
