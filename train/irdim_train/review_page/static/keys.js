// Every key of the page: [key, what it does, name of the action, its arguments]. The help and the buttons are made from this.
export const KEYS = [
  ["a", "accept the proposal", "decide", "accept"], ["l", "reject: the labels stay as they are", "decide", "reject"],
  ["t", "target", "label", "target"], ["i", "interference", "label", "interference"], ["g", "ignore", "label", "ignore"],
  ["d", "background: nothing is here", "remove"], ["s", "skip", "decide", "skip"], ["n", "next, undecided", "next"], ["u", "undo the last decision", "undo"],
  ["ArrowLeft", "move the box a pixel (Shift: resize, Alt: quarters)", "nudge", -1, 0], ["ArrowRight", "", "nudge", 1, 0],
  ["ArrowUp", "", "nudge", 0, -1], ["ArrowDown", "", "nudge", 0, 1],
  ["Delete", "take the box of this frame out of a track, or put it back", "drop"],
  ["x", "add a box at the pointer", "add"], ["Tab", "select the next box", "select"],
  ["m", "mark a target at the pointer; on a second frame: follow it", "mark"],
  [" ", "play, pause", "play"], ["b", "blink with the frame before", "blink"],
  [",", "frame before", "step", -1], [".", "next frame", "step", 1], ["h", "the item's own frame", "home"],
  ["1", "original", "mode", "original"], ["2", "difference", "mode", "difference"], ["3", "registered", "mode", "registered"],
  ["+", "closer", "zoom", 1], ["-", "farther", "zoom", -1], ["0", "contrast as it was", "contrast"], ["?", "these keys", "help"],
];
export const BUTTONS = "altigdsnu";
export const shown = (key) => ({ " ": "space", ArrowLeft: "← → ↑ ↓" }[key] ?? key);
