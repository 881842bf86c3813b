/** What is drawn above an image, in pixels of the screen: a polygon that is being outlined, the pointer. */

const SMALLEST = 1.5; // radius of a circle that can be seen
const ARM = 12; // length of a line of the cross

/** A line that is seen on light and on dark. */
function drawTwice(context, path) {
  context.lineWidth = 3;
  context.strokeStyle = 'rgb(0 0 0 / 55%)';
  context.stroke(path);
  context.lineWidth = 1.25;
  context.strokeStyle = '#fff';
  context.stroke(path);
}

/** The sides of a polygon as far as they are outlined, on to the pointer if there is one; its first point closes it. */
export function drawPolygon(context, points, pointer) {
  const path = new Path2D();
  for (const { x, y } of pointer === null ? points : [...points, pointer]) path.lineTo(x, y);
  drawTwice(context, path);
  const first = new Path2D();
  first.arc(points[0].x, points[0].y, 5, 0, 2 * Math.PI);
  context.fillStyle = '#fff';
  context.fill(first);
  drawTwice(context, first);
}

/** A circle of the brush, if its radius is not 0, and the cross that keys move. */
export function drawPointer(context, { x, y }, radius, isCross) {
  const path = new Path2D();
  if (radius > 0) path.arc(x, y, Math.max(SMALLEST, radius), 0, 2 * Math.PI);
  if (isCross) {
    for (const [dx, dy] of [[ARM, 0], [-ARM, 0], [0, ARM], [0, -ARM]]) {
      path.moveTo(x + dx / 4, y + dy / 4);
      path.lineTo(x + dx, y + dy);
    }
  }
  drawTwice(context, path);
}
