/** What this browser keeps of an operator's choices; where it keeps nothing, they hold until the page is left. */

/** What was remembered, or null. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Remember a word, or forget it with null. */
export function remember(name, word) {
  try {
    if (word === null) localStorage.removeItem(name);
    else localStorage.setItem(name, word);
  } catch {
    // then it is not kept
  }
}
