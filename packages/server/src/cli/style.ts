/** Colour for people: only on a terminal, never with NO_COLOR. */
import type { Writable } from 'node:stream'
import { styleText } from 'node:util'

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'
export type Paint = (style: Style, text: string) => string

export const noPaint: Paint = (_style, text) => text

/** @param env Whose NO_COLOR counts. */
export function paintFor(
  stream: Writable & { isTTY?: boolean | undefined },
  env: NodeJS.ProcessEnv,
): Paint {
  const off = stream.isTTY !== true || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
  return off ? noPaint : (style, text) => styleText(style, text, { validateStream: false })
}
