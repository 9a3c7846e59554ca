/** Turns Cedar's byte offsets into lines and columns a person can go to. */

export interface Position {
  /** From 1. */
  line: number
  /** From 1, in characters. */
  column: number
}

/** @param byteOffset Into the UTF-8 form of `text`, which is how Cedar counts. */
export function positionAt(text: string, byteOffset: number): Position {
  const before = Buffer.from(text).subarray(0, byteOffset).toString()
  const lines = before.split('\n')
  return { line: lines.length, column: Array.from(lines.at(-1) ?? '').length + 1 }
}

/** A position inside a piece, as a position in the whole whose piece starts at `start`. */
export function shiftPosition({ line, column }: Position, start: Position): Position {
  return {
    line: start.line + line - 1,
    column: line === 1 ? start.column + column - 1 : column,
  }
}
