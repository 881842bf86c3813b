/** Where an image lies on the screen: a point of it is at scale * point + (x, y). Pure arithmetic. */

const LARGEST = 40;

/** Whole, in the middle, with some air around, and more above, where the options of a tool are. */
export function fitted(size, box, air = 10, above = 62) {
  const [width, height] = [box.width - 2 * air, box.height - air - above];
  const scale = Math.max(0.01, Math.min(width / size.columns, height / size.rows, LARGEST));
  const spare = { x: width - scale * size.columns, y: height - scale * size.rows };
  return { scale, x: air + spare.x / 2, y: above + spare.y / 2 };
}

/** Larger or smaller, while the point below `at` stays where it is. */
export function zoomed(view, factor, at, smallest) {
  const scale = Math.min(LARGEST, Math.max(smallest, view.scale * factor));
  const real = scale / view.scale;
  return { scale, x: at.x - real * (at.x - view.x), y: at.y - real * (at.y - view.y) };
}

export const moved = (view, dx, dy) => ({ ...view, x: view.x + dx, y: view.y + dy });

/** Moved so that some of the image stays in sight. */
export function held(view, size, box, rest = 48) {
  const [width, height] = [view.scale * size.columns, view.scale * size.rows];
  return {
    scale: view.scale,
    x: Math.min(box.width - rest, Math.max(rest - width, view.x)),
    y: Math.min(box.height - rest, Math.max(rest - height, view.y)),
  };
}

export const toImage = (view, { x, y }) => ({ x: (x - view.x) / view.scale, y: (y - view.y) / view.scale });

export const toScreen = (view, { x, y }) => ({ x: x * view.scale + view.x, y: y * view.scale + view.y });

/** As two fingers go from their places before to those after. */
export function pinched(view, before, after, smallest) {
  const middle = ([a, b]) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  const distance = ([a, b]) => Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
  const [from, to] = [middle(before), middle(after)];
  return zoomed(moved(view, to.x - from.x, to.y - from.y), distance(after) / distance(before), to, smallest);
}
