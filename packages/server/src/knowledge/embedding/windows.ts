/** The model was made for sentences, and its work grows with the square of their length: long texts go in windows. */

const WINDOW_CHARS = 320
/** Of the longest text that embedders take, as many windows as there are. */
const MAX_WINDOWS = 26
const END = /[.!?\n]\s/g

/** In order; together the text, up to the longest that there is room for. At least one, for text with letters. */
export function windowsOf(text: string): string[] {
  const windows: string[] = []
  let rest = text.trim()
  while (rest !== '' && windows.length < MAX_WINDOWS) {
    const end = endOf(rest)
    windows.push(rest.slice(0, end).trim())
    rest = rest.slice(end).trim()
  }
  return windows.filter((window) => /[\p{L}\p{N}]/u.test(window))
}

/** After the last sentence that ends in the second half of a window, or after its last word. */
function endOf(text: string): number {
  if (text.length <= WINDOW_CHARS) return text.length
  const head = text.slice(0, WINDOW_CHARS)
  const last = [...head.matchAll(END)].at(-1)
  if (last !== undefined && last.index > WINDOW_CHARS / 2) return last.index + 1
  const space = head.lastIndexOf(' ')
  return space > WINDOW_CHARS / 2 ? space : WINDOW_CHARS
}
