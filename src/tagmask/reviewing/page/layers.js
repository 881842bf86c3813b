/** Pictures as large as the image, from which the canvas is drawn: the mask, and the borders of regions. */

import { colour, colourBorders, rgba, wholeBox } from './labels.js';

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
  }

  /** Light up one region; null: none. */
  choose(region) {
    if (region === this.chosen) return false;
    this.chosen = region;
    this.glow.pixels.fill(0);
    const { values } = this.regions;
    if (region !== null) {
      for (let at = values.indexOf(region); at !== -1; at = values.indexOf(region, at + 1)) this.glow.pixels[at] = CHOSEN;
    }
    this.glow.show(wholeBox(this.regions));
    return true;
  }
}
