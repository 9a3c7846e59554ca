/** Turns Cedar's byte offsets into lines and columns a person can go to. */

export interface Position {
  /** From 1. */
  line: number
  /** From 1, in characters. */
  column: number
}

export const START: Position = { line: 1, column: 1 }

/** Where one stands after reading `text` from `start`. */
export function advance(start: Position, text: string): Position {
  const lines = text.split('\n')
  const length = Array.from(lines.at(-1) ?? '').length
  if (lines.length === 1) return { line: start.line, column: start.column + length }
  return { line: start.line + lines.length - 1, column: length + 1 }
}

/** @param byteOffset Into the UTF-8 form of `text`, which is how Cedar counts. */
export function positionAt(text: string, byteOffset: number, start: Position = START): Position {
  return advance(start, Buffer.from(text).subarray(0, byteOffset).toString())
}
