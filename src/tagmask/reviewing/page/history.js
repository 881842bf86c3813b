/** What was done to one image, to be undone and done again without end: pixels, decision, tags. */

export class History {
  #steps = [];
  #done = 0;

  get canUndo() { return this.#done > 0; }

  get canRedo() { return this.#done < this.#steps.length; }

  /** Remember a step {pixels, before, after}; what was undone before it can no longer be done again. */
  add(step) {
    this.#steps.length = this.#done;
    this.#steps.push(step);
    this.#done += 1;
  }

  /** The last step, no longer done; null if there is none. */
  undo() {
    if (!this.canUndo) return null;
    this.#done -= 1;
    return this.#steps[this.#done];
  }

  /** The next step, done again; null if there is none. */
  redo() {
    if (!this.canRedo) return null;
    this.#done += 1;
    return this.#steps[this.#done - 1];
  }
}
