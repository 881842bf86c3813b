/** Saving: one change after another, kept in this browser until the server has it. */

import { Refused, sendChange } from './connection.js';

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

// ── copies in this browser ───────────────────────────────────────────────────────────────────────────────────────────

const promised = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** Unsaved changes by run and image. Where the browser keeps nothing, as in some private windows, it does without. */
export class Copies {
  #run;
  #base;

  constructor(run) {
    this.#run = run;
    this.#base = this.#open();
  }

  async #open() {
    try {
      const request = indexedDB.open('tagmask-review', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('unsaved', { keyPath: ['run', 'id'] });
      return await promised(request);
    } catch {
      return null;
    }
  }

  async #do(mode, work) {
    const base = await this.#base;
    if (base === null) return undefined;
    return promised(work(base.transaction('unsaved', mode).objectStore('unsaved')));
  }

  keep(job) { return this.#do('readwrite', (store) => store.put({ ...job, run: this.#run })); }

  forget(id) { return this.#do('readwrite', (store) => store.delete([this.#run, id])); }

  async all() {
    const jobs = await this.#do('readonly', (store) => store.getAll()) ?? [];
    return jobs.filter(({ run }) => run === this.#run);
  }
}

// ── the queue ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Sends jobs {id, place, decision, tags, mask} in order; of one image the latest alone. */
export class Saver {
  #jobs = new Map();
  #isRunning = false;
  #wake = null;
  #copies;
  #tell;
  #seen;

  /**
   * @param copies keeps jobs until they are saved.
   * @param seen (id) -> the version that this page has begun from.
   * @param tell ({state, id, answer, reason, wait}): `saving`, `saved`, `lost` or `refused`.
   */
  constructor(copies, seen, tell) {
    this.#copies = copies;
    this.#seen = seen;
    this.#tell = tell;
    window.addEventListener('online', () => this.#wake?.());
  }

  get unsaved() { return this.#jobs.size; }

  has(id) { return this.#jobs.has(id); }

  save(job) {
    this.#jobs.set(job.id, job);
    this.#copies.keep(job).catch(() => {});
    this.#wake?.();
    return this.#run();
  }

  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    let wait = FIRST_WAIT;
    while (this.#jobs.size > 0) {
      const [job] = this.#jobs.values();
      wait = await this.#send(job) ? FIRST_WAIT : await this.#pause(wait);
    }
    this.#isRunning = false;
  }

  /** Whether a job is done with: saved, or refused. */
  async #send(job) {
    const { id, place, decision, tags, mask } = job;
    this.#tell({ state: 'saving', id });
    try {
      const answer = await sendChange(place, { decision, tags, seen: this.#seen(id) }, mask);
      this.#finish(job);
      this.#tell({ state: 'saved', id, answer, job });
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) return false;
      if (this.#jobs.get(id) === job) this.#jobs.delete(id); // its copy stays in the browser
      this.#tell({ state: 'refused', id, reason: error.message });
      return true;
    }
  }

  /** Forget a job, unless a later one of the image has taken its place meanwhile. */
  #finish(job) {
    if (this.#jobs.get(job.id) !== job) return;
    this.#jobs.delete(job.id);
    this.#copies.forget(job.id).catch(() => {});
  }

  async #pause(wait) {
    this.#tell({ state: 'lost', wait });
    await new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, wait);
    });
    this.#wake = null;
    return Math.min(LONGEST_WAIT, 2 * wait);
  }
}
