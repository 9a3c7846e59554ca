/** Recovery shares as they are handed out: once, and each to another person. */
import type { Row } from './cell.ts'
import type { Paint } from './style.ts'
import { safeText } from './terminal-text.ts'

/** `share_1`, `share_2` … of a reply, in order; and the reply without them. */
export function takeShares(reply: Row): { rest: Row; shares: string[] } {
  const shares: string[] = []
  const rest: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(reply)) {
    const number = /^share_(\d+)$/.exec(name)?.[1]
    if (number !== undefined && typeof value === 'string') shares[Number(number) - 1] = value
    else rest[name] = value
  }
  return { rest, shares: shares.filter((share) => share !== undefined) }
}

export function shareLines(shares: readonly string[], paint: Paint): string {
  return shares
    .map((share, at) => `${paint('dim', `share ${at + 1}`)}  ${safeText(share)}\n`)
    .join('')
}

export const SHARES_NOTE =
  'The shares are not stored and cannot be shown again. Give each to another person.'
