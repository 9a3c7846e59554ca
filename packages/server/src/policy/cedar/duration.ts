/** Cedar's `duration`: an i64 of milliseconds, written like `1d2h3m4s5ms`. */
import { toLong } from './long.ts'
import { CedarError, ExtValue, type Long } from './value.ts'

export class Duration extends ExtValue {
  readonly typeName = 'duration'
  readonly ms: Long

  constructor(ms: Long) {
    super()
    this.ms = ms
  }

  get key(): string {
    return `D${this.ms};`
  }
}

const FORM = /^(-?)(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?$/
const UNIT_MS = [86_400_000n, 3_600_000n, 60_000n, 1_000n, 1n]

export function parseDuration(text: string): Duration | CedarError {
  const match = FORM.exec(text)
  const parts = match?.slice(2) ?? []
  if (match === null || parts.every((part) => part === undefined)) {
    return new CedarError('duration: not of the form 1d2h3m4s5ms')
  }
  let total = 0n
  UNIT_MS.forEach((unit, index) => {
    total += BigInt(parts[index] ?? 0) * unit
  })
  const ms = toLong(match[1] === '-' ? -total : total)
  return ms === undefined ? new CedarError('duration: out of range') : new Duration(ms)
}
