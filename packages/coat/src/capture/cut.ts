/** Cuts text to the preview length, and says how much is missing. */

/**
 * @param text Well-formed or not; what is returned is.
 * @param limit Characters to show, in UTF-16 code units; a pair is not split.
 * @param hidden How many more there are behind `text`.
 */
export function cutText(text: string, limit: number, hidden = 0): string {
  if (text.length <= limit && hidden === 0) return text.toWellFormed()
  let end = Math.min(limit, text.length)
  const last = text.charCodeAt(end - 1)
  if (end < text.length && last >= 0xd800 && last <= 0xdbff) end -= 1
  return `${text.slice(0, end).toWellFormed()}…[+${text.length - end + hidden}]`
}

const MARK = /…\[\+(\d{1,12})\]$/

/** How long a text was before it was cut. */
export function uncutLength(text: string): number {
  const mark = MARK.exec(text)
  return mark === null ? text.length : mark.index + Number(mark[1])
}

/** Bytes that a text takes in JSON, with its quotes; a little more rather than less. */
export function jsonBytes(text: string): number {
  let bytes = text.length + 2
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code >= 0x20 && code < 0x80) {
      if (code === 0x22 || code === 0x5c) bytes += 1
    } else bytes += code < 0x20 ? 5 : code < 0x800 ? 1 : 2
  }
  return bytes
}
