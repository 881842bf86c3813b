/** Which images are shown, in which order, and which comes next. Pure functions of what is known of the images.
 *
 * An image is {id, quality, given, tags, decision, version}: `tags` are those that a person gave it, or null.
 */

export const tagsOf = (image) => image.tags ?? image.given;

export const DECISIONS = [
  { value: 'all', text: 'all images' },
  { value: 'undecided', text: 'undecided' },
  { value: 'accepted', text: 'accepted' },
  { value: 'corrected', text: 'corrected' },
  { value: 'rejected', text: 'rejected' },
  { value: 'retagged', text: 'with other tags' },
];

/** Whether an image belongs to a choice of `DECISIONS`. */
export function belongs(image, choice) {
  if (choice === 'all') return true;
  if (choice === 'retagged') return image.tags !== null;
  return (image.decision ?? 'undecided') === choice;
}

/** The places of all images in an order: `trust`, `random` or `name`. */
export function inOrder(images, random, order) {
  if (order === 'random') return random;
  const places = images.map((_, place) => place);
  return order === 'name' ? places.sort((a, b) => (images[a].id < images[b].id ? -1 : 1)) : places;
}

/** The places that are shown; `name` is that of a class, or empty for all. */
export function chosen(images, places, choice, name) {
  return places.filter((place) => belongs(images[place], choice)
    && (name === '' || tagsOf(images[place]).includes(name)));
}

/** The place `step` further on, or null at the end. */
export function beside(places, place, step) {
  const at = places.indexOf(place);
  return places[at === -1 ? 0 : at + step] ?? null;
}

/** The next undecided place after one, from the beginning again after the end; null if all are decided. */
export function nextUndecided(images, places, place) {
  const at = places.indexOf(place);
  const others = [...places.slice(at + 1), ...places.slice(0, Math.max(0, at))];
  return others.find((each) => images[each].decision === null) ?? null;
}

/** The tags with one more or one less, in the order of the classes; null where they are those that were given. */
export function toggled(image, name, classes) {
  const now = new Set(tagsOf(image));
  if (!now.delete(name)) now.add(name);
  const tags = classes.filter((each) => now.has(each));
  const isGiven = tags.length === image.given.length && tags.every((each) => image.given.includes(each));
  return isGiven ? null : tags;
}

/** A share of pixels in words: `12 %`, `<1 %`, or nothing. */
export function share(count, total) {
  if (!count) return '';
  return count / total < 0.01 ? '<1 %' : `${Math.round((100 * count) / total)} %`;
}
