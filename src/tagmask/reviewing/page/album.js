/** Images as they are opened: from the server, or as this page left them, with all that can be undone. */

import { getGrid, getJson, getPhoto } from './connection.js';
import { History } from './history.js';

const KEPT = 8; // images that can be undone further

export const WITH_MASK = ['accepted', 'corrected'];

export class Album {
  #images;
  #seen;
  #saver;
  #kept = new Map();

  /**
   * @param images what is known of every image.
   * @param seen the version of each, by id, that this page has begun from.
   * @param saver knows which are not saved yet.
   */
  constructor(images, seen, saver) {
    [this.#images, this.#seen, this.#saver] = [images, seen, saver];
  }

  has(place) { return this.#kept.has(place); }

  /** An image {place, photo, grid, original, history, decision, tags}; `original` are the values the run made. */
  async open(place) {
    const opened = await this.#found(place);
    this.#kept.delete(place);
    this.#kept.set(place, opened);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return opened;
  }

  async #found(place) {
    const [image, kept] = [this.#images[place], this.#kept.get(place)];
    if (kept !== undefined && this.#saver.has(image.id)) return kept;
    const { version, decision, tags } = await getJson(`images/${place}/review`);
    if (kept !== undefined && version === this.#seen.get(image.id)) return kept;
    const [photo, grid] = await Promise.all([getPhoto(`images/${place}/photo`), getGrid(`images/${place}/mask`)]);
    const hasMask = WITH_MASK.includes(decision);
    const original = hasMask ? (await getGrid(`images/${place}/pseudo-mask`)).values : grid.values.slice();
    Object.assign(image, { version, decision, tags });
    this.#seen.set(image.id, version);
    return { place, photo, grid, original, history: new History(), decision, tags };
  }
}
