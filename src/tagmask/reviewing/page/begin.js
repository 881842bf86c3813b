/** The page begins: it asks for the run, listens, and opens the first undecided image. */

import { App } from './app.js';
import { nextUndecided } from './choosing.js';
import { listenToButtons, listenToFields, listenToKeys, listenToWindow } from './commands.js';
import { getJson } from './connection.js';
import { sayInstead, showChoices, writeHelp } from './notices.js';
import { sendCopies } from './unsaved.js';

async function begin() {
  writeHelp();
  let run;
  try {
    run = await getJson('run');
  } catch (error) {
    sayInstead(`The run cannot be shown: ${error.message}`);
    return;
  }
  const app = new App(run);
  document.getElementById('with').append(new Option('any class', ''), ...run.classes.map((name) => new Option(name, name)));
  showChoices(run.images);
  listenToKeys(app);
  listenToButtons(app);
  listenToFields(app);
  listenToWindow(app);
  app.chooseImages();
  app.refresh();
  await sendCopies(app);
  await app.show(nextUndecided(app.images, app.places, null) ?? 0);
  await app.fetchProgress();
}

begin();
