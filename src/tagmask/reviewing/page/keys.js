/** Every key, for the page and for its help. */

export const KEYS = [
  { group: 'Decide', keys: ['a', 'Enter'], command: 'accept', text: 'the mask is right as it is now' },
  { group: 'Decide', keys: ['r'], command: 'reject', text: 'nothing is to be learned from this image' },
  { group: 'Decide', keys: ['u'], command: 'startOver', text: 'start over: undecided, the mask as the run made it' },
  { group: 'Decide', keys: ['t'], command: 'tag', text: 'the image shows the chosen class, or does not' },
  { group: 'Images', keys: ['ArrowRight', 'j'], command: 'next', text: 'next image' },
  { group: 'Images', keys: ['ArrowLeft', 'k'], command: 'previous', text: 'previous image' },
  { group: 'Images', keys: ['.'], command: 'nextUndecided', text: 'next undecided image' },
  { group: 'Images', keys: ['q'], command: 'order', text: 'another order of the images' },
  { group: 'Images', keys: ['w'], command: 'filter', text: 'another choice of images' },
  { group: 'Paint', keys: ['b'], command: 'brush', text: 'brush' },
  { group: 'Paint', keys: ['e'], command: 'eraser', text: 'eraser: brush of background' },
  { group: 'Paint', keys: ['p'], command: 'polygon', text: 'polygon; the first point or a double click closes it' },
  { group: 'Paint', keys: ['s'], command: 'regions', text: 'regions of one look: a click fills one' },
  { group: 'Paint', keys: ['[', ']'], shown: '[ ]', command: 'size', text: 'smaller, larger brush or regions' },
  {
    group: 'Paint', keys: ['1', '2', '3', '4', '5', '6', '7', '8', '9'], shown: '1 … 9', command: 'choose',
    text: 'choose a class',
  },
  { group: 'Paint', keys: ['0'], command: 'background', text: 'choose background' },
  { group: 'Paint', keys: ['n'], command: 'noLabel', text: 'choose “no label”' },
  { group: 'Paint', keys: ['ctrl+z', 'z'], command: 'undo', text: 'undo' },
  { group: 'Paint', keys: ['ctrl+shift+z', 'ctrl+y', 'y'], command: 'redo', text: 'do again' },
  { group: 'Paint', keys: ['Escape'], command: 'cancel', text: 'give up the polygon' },
  { group: 'Paint', keys: ['Backspace'], command: 'back', text: 'take the last point of the polygon back' },
  { group: 'Look', keys: ['+', '='], shown: '+', command: 'zoomIn', text: 'closer; also the wheel or two fingers' },
  { group: 'Look', keys: ['-'], command: 'zoomOut', text: 'further away' },
  { group: 'Look', keys: ['f'], command: 'fit', text: 'the whole image' },
  { group: 'Look', keys: ['h'], command: 'hand', text: 'hand: drag the image; also Space or the middle button' },
  { group: 'Look', keys: ['m'], command: 'mask', text: 'show or hide the mask' },
  { group: 'Look', keys: ['o'], command: 'original', text: 'the mask as the run made it, while held' },
  { group: 'Look', keys: ['l'], command: 'outlines', text: 'outlines on or off' },
  { group: 'Look', keys: ['v'], command: 'visible', text: 'show or hide the chosen class' },
  { group: 'Look', keys: ['<', ','], shown: ',', command: 'fainter', text: 'fainter mask' },
  { group: 'Look', keys: ['>', ';'], shown: ';', command: 'stronger', text: 'stronger mask' },
  {
    group: 'Without a mouse', keys: ['shift+ArrowUp', 'shift+ArrowDown', 'shift+ArrowLeft', 'shift+ArrowRight'],
    shown: '⇧ + arrows', command: 'cross', text: 'move a cross over the image',
  },
  { group: 'Without a mouse', keys: ['Space'], command: 'dab', text: 'use the tool at the cross' },
  { group: 'Page', keys: ['i'], command: 'progress', text: 'what the review says so far' },
  { group: 'Page', keys: ['?'], command: 'help', text: 'these keys' },
];

/** The name of a pressed key, such as `ctrl+z`; Ctrl and the Command key are one. */
export function pressed({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key === ' ' ? 'Space' : key.length === 1 ? key.toLowerCase() : key;
  const isShifted = shiftKey && (name.length > 1 || ctrlKey || metaKey);
  return `${ctrlKey || metaKey ? 'ctrl+' : ''}${altKey ? 'alt+' : ''}${isShifted ? 'shift+' : ''}${name}`;
}

/** The command of a key, or null. */
export function commandOf(name) {
  return KEYS.find(({ keys }) => keys.includes(name))?.command ?? null;
}

/** Keys by group, in words. */
export function grouped() {
  const groups = new Map();
  for (const { group, keys, shown, text } of KEYS) {
    const names = shown ?? keys.map((key) => key.replace('Arrow', '').replace('ctrl+', 'Ctrl + ')
      .replace('shift+', '⇧ ').replace(/\b([a-z])$/, (letter) => letter.toUpperCase())).join('  or  ');
    groups.set(group, [...(groups.get(group) ?? []), { names, text }]);
  }
  return groups;
}
