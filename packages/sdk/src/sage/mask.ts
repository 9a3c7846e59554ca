/** How a token looks in print: enough to tell two apart, never enough to use or to guess one. */

/** The hook `util.inspect` and `console.log` look for. */
export const inspectHook = Symbol.for('nodejs.util.inspect.custom')

/** At most eight characters and at most a quarter of the token, then three dots. */
export function mask(token: string): string {
  return `${token.slice(0, Math.min(8, Math.floor(token.length / 4)))}...`
}
