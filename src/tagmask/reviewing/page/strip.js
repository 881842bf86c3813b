/** The filmstrip: thousands of images, of which only those in sight are on the page. */

const SPARE = 4; // on either side
const RIM = 4; // pixels before the first
const REST = 90; // milliseconds that an image must be in sight before it is asked for

/** Which of `count` items of a width are in sight, and a few around them. */
export function inSight(scroll, width, item, count) {
  const first = Math.max(0, Math.floor(scroll / item) - SPARE);
  return [first, Math.min(count, Math.ceil((scroll + width) / item) + SPARE)];
}

export class Strip {
  #box;
  #rail;
  #places = [];
  #items = new Map();
  #current = null;
  #told;
  #open;

  /**
   * @param box the element that scrolls.
   * @param told (place) -> {id, version, decision, title}.
   * @param open is called with the place of an image that is chosen.
   */
  constructor(box, told, open) {
    this.#box = box;
    this.#told = told;
    this.#open = open;
    this.#rail = box.appendChild(document.createElement('div'));
    this.#rail.className = 'rail';
    box.addEventListener('scroll', () => this.#fill(), { passive: true });
    box.addEventListener('wheel', (event) => {
      if (Math.abs(event.deltaY) > Math.abs(event.deltaX)) box.scrollLeft += event.deltaY;
    }, { passive: true });
    new ResizeObserver(() => this.#layOut()).observe(box);
  }

  get #width() { return Number.parseFloat(getComputedStyle(this.#box).getPropertyValue('--item')) || 100; }

  show(places) {
    this.#places = places;
    this.#layOut();
  }

  /** Mark the image that is open, and bring it into sight. */
  mark(place) {
    this.#current = place;
    const at = this.#places.indexOf(place);
    if (at !== -1) this.#box.scrollLeft = (at + 0.5) * this.#width - this.#box.clientWidth / 2;
    this.#fill();
    for (const [each, item] of this.#items) item.toggleAttribute('aria-current', each === place);
  }

  /** Show anew what has been decided about an image. */
  refresh(place) {
    const item = this.#items.get(place);
    if (item === undefined) return;
    const fresh = this.#item(place, this.#places.indexOf(place));
    fresh.firstChild.src = item.firstChild.src; // until the new one is there
    item.replaceWith(fresh);
    this.#items.set(place, fresh);
  }

  #layOut() {
    for (const item of this.#items.values()) item.remove();
    this.#items.clear();
    this.#rail.style.width = `${this.#places.length * this.#width + RIM}px`;
    this.#fill();
  }

  #fill() {
    const [first, end] = inSight(this.#box.scrollLeft, this.#box.clientWidth, this.#width, this.#places.length);
    const wanted = new Set(this.#places.slice(first, end));
    for (const [place, item] of this.#items) {
      if (!wanted.has(place)) {
        item.remove();
        this.#items.delete(place);
      }
    }
    for (let at = first; at < end; at++) {
      const place = this.#places[at];
      if (!this.#items.has(place)) this.#items.set(place, this.#rail.appendChild(this.#item(place, at)));
    }
  }

  #item(place, at) {
    const { title, version, decision } = this.#told(place);
    const item = document.createElement('button');
    item.className = 'frame';
    item.type = 'button';
    item.title = title;
    item.tabIndex = -1;
    item.dataset.place = place;
    item.dataset.decision = decision ?? '';
    item.setAttribute('aria-label', `${title}, ${decision ?? 'undecided'}`);
    item.toggleAttribute('aria-current', place === this.#current);
    item.style.left = `${at * this.#width + RIM}px`;
    item.addEventListener('click', () => this.#open(place));
    const picture = item.appendChild(document.createElement('img'));
    picture.alt = '';
    picture.decoding = 'async';
    picture.draggable = false;
    setTimeout(() => { if (item.isConnected) picture.src = `images/${place}/thumbnail?v=${version}`; }, REST);
    return item;
  }
}
