/** What an earlier page could not save, found in this browser. */

import { say } from './notices.js';

function sendCopy(app, place, { id, decision, tags, mask }) {
  Object.assign(app.images[place], { decision, tags });
  say(`${id}: what an earlier page could not save is saved now.`);
  app.saver.save({ id, place, decision, tags, mask, seen: app.seen.get(id) }).then(() => {
    if (app.open?.place === place) app.show(place);
  });
}

/** Send what an earlier page could not save, unless the server has something else meanwhile. */
export async function sendCopies(app) {
  for (const copy of await app.copies.all().catch(() => [])) {
    const place = app.images.findIndex(({ id }) => id === copy.id);
    if (place === -1) continue;
    const send = () => sendCopy(app, place, copy);
    if (app.images[place].version === copy.seen) send();
    else {
      const words = `${copy.id}: this browser has kept work that was never saved, and the image has changed since.`;
      say(words, { 'Use what was kept': send, 'Drop it': () => app.copies.forget(copy.id) });
      return; // one question at a time; the next is asked when the page is opened again
    }
  }
}
