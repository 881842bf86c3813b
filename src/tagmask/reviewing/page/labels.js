/** Class numbers per pixel: painting, filling, comparing, packing. Pure arithmetic on arrays; no page, no canvas.
 *
 * A grid is {rows, columns, values}, its values row by row. A box is {left, top, right, bottom}, the last two excluded.
 */

export const BACKGROUND = 0;
export const NO_LABEL = 65535;
const HEAD = 8;

// ── boxes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const wholeBox = ({ rows, columns }) => ({ left: 0, top: 0, right: columns, bottom: rows });

export const isEmpty = (box) => box === null || box.right <= box.left || box.bottom <= box.top;

/** The smallest box around both; null is the box of nothing. */
export function joined(one, other) {
  if (isEmpty(one)) return isEmpty(other) ? null : other;
  if (isEmpty(other)) return one;
  return {
    left: Math.min(one.left, other.left), top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right), bottom: Math.max(one.bottom, other.bottom),
  };
}

/** A box of any numbers, cut to whole pixels of a grid. */
export function clipped(box, grid, margin = 0) {
  return {
    left: Math.max(0, Math.floor(box.left - margin)), top: Math.max(0, Math.floor(box.top - margin)),
    right: Math.min(grid.columns, Math.ceil(box.right + margin)),
    bottom: Math.min(grid.rows, Math.ceil(box.bottom + margin)),
  };
}

// ── painting; each returns the box that it may have changed ──────────────────────────────────────────────────────────

/** Paint every pixel whose centre is no further than `radius` from the line between two points. */
export function paintLine(grid, from, to, radius, value) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const box = clipped({
    left: Math.min(from.x, to.x), top: Math.min(from.y, to.y),
    right: Math.max(from.x, to.x), bottom: Math.max(from.y, to.y),
  }, grid, radius);
  for (let row = box.top; row < box.bottom; row++) {
    for (let column = box.left; column < box.right; column++) {
      const [x, y] = [column + 0.5 - from.x, row + 0.5 - from.y];
      const along = length > 0 ? Math.min(1, Math.max(0, (x * dx + y * dy) / length)) : 0;
      const distance = (x - along * dx) ** 2 + (y - along * dy) ** 2;
      if (distance <= radius * radius) grid.values[row * grid.columns + column] = value;
    }
  }
  return box;
}

/** Where the edges of a polygon cross the line through the centres of a row, from left to right. */
function crossings(points, y) {
  const found = [];
  for (let i = 0; i < points.length; i++) {
    const [a, b] = [points[i], points[(i + 1) % points.length]];
    if ((a.y <= y) !== (b.y <= y)) found.push(a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y));
  }
  return found.sort((a, b) => a - b);
}

/** Fill a polygon: every pixel whose centre lies inside, where it crosses itself by the even-odd rule. */
export function fillPolygon(grid, points, value) {
  if (points.length < 3) return null;
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const box = clipped({
    left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys),
  }, grid);
  for (let row = box.top; row < box.bottom; row++) {
    const edges = crossings(points, row + 0.5);
    for (let i = 0; i + 1 < edges.length; i += 2) {
      const first = Math.max(0, Math.ceil(edges[i] - 0.5));
      const last = Math.min(grid.columns - 1, Math.ceil(edges[i + 1] - 0.5) - 1);
      if (last >= first) grid.values.fill(value, row * grid.columns + first, row * grid.columns + last + 1);
    }
  }
  return box;
}

/** Where a region of a region map is: its places in the array, and the box around them. */
export function placesOf({ columns, values }, region) {
  const places = [];
  for (let at = values.indexOf(region); at !== -1; at = values.indexOf(region, at + 1)) places.push(at);
  const box = { left: Infinity, top: Infinity, right: 0, bottom: 0 };
  for (const at of places) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    box.left = Math.min(box.left, column);
    box.right = Math.max(box.right, column + 1);
    box.top = Math.min(box.top, row);
    box.bottom = Math.max(box.bottom, row + 1);
  }
  return { places, box: places.length > 0 ? box : null };
}

/** Fill every pixel of one region of a region map. */
export function fillRegion(grid, regions, region, value) {
  const { places, box } = placesOf(regions, region);
  for (const at of places) grid.values[at] = value;
  return box;
}

/** The value at a point, or null outside. */
export function valueAt(grid, { x, y }) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const isInside = column >= 0 && row >= 0 && column < grid.columns && row < grid.rows;
  return isInside ? grid.values[row * grid.columns + column] : null;
}

// ── comparing ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What has changed within a box: places, values before and after; null if nothing has. */
export function difference(before, grid, box) {
  if (isEmpty(box)) return null;
  const places = [];
  for (let row = box.top; row < box.bottom; row++) {
    const start = row * grid.columns;
    for (let at = start + box.left; at < start + box.right; at++) {
      if (before[at] !== grid.values[at]) places.push(at);
    }
  }
  if (places.length === 0) return null;
  const pick = (values) => Uint16Array.from(places, (at) => values[at]);
  return { box, places: Uint32Array.from(places), before: pick(before), after: pick(grid.values) };
}

/** Put values at places. */
export function put(grid, places, values) {
  for (let i = 0; i < places.length; i++) grid.values[places[i]] = values[i];
}

export function areEqual(one, other) {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) return false;
  return one.length === other.length;
}

/** How many pixels each value has. */
export function counted(values) {
  const found = new Uint32Array(NO_LABEL + 1);
  for (let at = 0; at < values.length; at++) found[values[at]] += 1;
  return new Map([...found.entries()].filter(([, count]) => count > 0));
}

// ── colouring ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Red, green, blue and opacity as one number, as they lie in the memory of a canvas. */
export const rgba = (red, green, blue, alpha) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;

const HATCH = rgba(240, 240, 240, 200);

/** What each value looks like inside and at its edge.
 *
 * @param colors red, green and blue of each class, background first.
 * @param hidden a set of values that are not shown.
 * @param opacity 0..255.
 * @param outlines whether the edges of classes are drawn.
 */
export function paintsOf(colors, hidden, opacity, outlines) {
  const [inside, edge] = [new Uint32Array(NO_LABEL + 1), new Uint32Array(NO_LABEL + 1)];
  colors.forEach(([red, green, blue], value) => {
    if (value === BACKGROUND || hidden.has(value)) return;
    inside[value] = rgba(red, green, blue, opacity);
    edge[value] = rgba(red, green, blue, outlines ? 255 : opacity);
  });
  return { inside, edge, hatch: hidden.has(NO_LABEL) ? 0 : HATCH };
}

/** Whether a pixel has another value to its right, left, below or above. */
function isEdge({ rows, columns, values }, row, column, at) {
  const value = values[at];
  return (column + 1 < columns && values[at + 1] !== value) || (column > 0 && values[at - 1] !== value)
    || (row + 1 < rows && values[at + columns] !== value) || (row > 0 && values[at - columns] !== value);
}

/** Colour the pixels of a box and of those around it, whose outlines may have changed; no label is hatched.
 *
 * @param pixels one number a pixel, see `rgba`, to be written.
 * @param paints see `paintsOf`.
 * @returns the box that was written.
 */
export function colour(grid, pixels, box, paints) {
  const wider = clipped(box, grid, 1);
  for (let row = wider.top; row < wider.bottom; row++) {
    for (let column = wider.left; column < wider.right; column++) {
      const at = row * grid.columns + column;
      const value = grid.values[at];
      if (value === NO_LABEL) pixels[at] = (row + column) % 8 < 3 ? paints.hatch : 0;
      else pixels[at] = isEdge(grid, row, column, at) ? paints.edge[value] : paints.inside[value];
    }
  }
  return wider;
}

/** Colour the borders between regions. */
export function colourBorders(regions, pixels, color) {
  for (let at = 0; at < regions.values.length; at++) {
    const isLast = (at + 1) % regions.columns === 0;
    const below = regions.values[at + regions.columns];
    const differs = (!isLast && regions.values[at + 1] !== regions.values[at])
      || (below !== undefined && below !== regions.values[at]);
    if (differs) pixels[at] = color;
  }
}

// ── on the way ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** A grid from rows and columns as 32 bits each, then each value as 16 bits, the lowest byte first.
 *
 * That is how every browser of today holds numbers, so nothing is turned around.
 */
export function unpack(buffer) {
  const [rows, columns] = new Uint32Array(buffer, 0, 2);
  return { rows, columns, values: new Uint16Array(buffer.slice(HEAD)) };
}

export function pack({ rows, columns, values }) {
  const packed = new Uint8Array(HEAD + values.byteLength);
  packed.set(new Uint8Array(Uint32Array.of(rows, columns).buffer));
  packed.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), HEAD);
  return packed;
}
