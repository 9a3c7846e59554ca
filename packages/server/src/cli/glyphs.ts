/** The characters trees and bars are drawn with: ASCII where the terminal's locale has no others. Pure. */

export interface Glyphs {
  readonly tee: string
  readonly corner: string
  readonly pipe: string
  readonly dot: string
  readonly dash: string
  readonly ellipsis: string
  readonly barLeft: string
  readonly barRight: string
  readonly barFill: string
  readonly barOpen: string
}

export const UNICODE: Glyphs = {
  tee: '├─ ',
  corner: '└─ ',
  pipe: '│  ',
  dot: '·',
  dash: '–',
  ellipsis: '…',
  barLeft: '▕',
  barRight: '▏',
  barFill: '█',
  barOpen: '▶',
}

export const ASCII: Glyphs = {
  tee: '|- ',
  corner: '`- ',
  pipe: '|  ',
  dot: '*',
  dash: '-',
  ellipsis: '...',
  barLeft: '[',
  barRight: ']',
  barFill: '=',
  barOpen: '>',
}

/** Where nothing is said of a locale, the terminal is taken for one of our time. */
export function glyphsFor(env: NodeJS.ProcessEnv): Glyphs {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find((value) => value)
  return locale === undefined || /utf-?8/i.test(locale) ? UNICODE : ASCII
}
