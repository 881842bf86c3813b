/** The server: what is asked of it and sent to it. Addresses are relative, so the token stays where it is. */

import { pack, unpack } from './labels.js';

/** The server has answered that it will not: trying again would not help. */
export class Refused extends Error {}

async function answered(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const words = await answer.text();
  throw answer.status >= 500 ? new Error(words) : new Refused(words || `${path}: ${answer.status}`);
}

export const getJson = async (path) => (await answered(path, { cache: 'no-store' })).json();

export const getGrid = async (path) => unpack(await (await answered(path)).arrayBuffer());

export async function getPhoto(path) {
  return createImageBitmap(await (await answered(path)).blob());
}

async function squeezed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Send what was decided about an image; resolves when the server has it on its disk.
 *
 * @param change {decision, tags, seen}, as the server takes it.
 * @param mask a grid, or null where none belongs to the decision.
 */
export async function sendChange(place, change, mask) {
  const words = new TextEncoder().encode(`${JSON.stringify(change)}\n`);
  const pixels = mask === null ? new Uint8Array() : pack(mask);
  const bytes = new Uint8Array(words.length + pixels.length);
  bytes.set(words);
  bytes.set(pixels, words.length);
  const canSqueeze = 'CompressionStream' in window;
  const body = canSqueeze ? await squeezed(bytes) : bytes;
  const headers = canSqueeze ? { 'content-encoding': 'gzip' } : {};
  const answer = await answered(`images/${place}/review`, { method: 'PUT', body, headers });
  return answer.json();
}
