/** Numbers that bound a call: times, sizes, attempts. */
import { ConfigurationError } from '../errors.ts'

/** A longer timer fires at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** @throws ConfigurationError that names the option, for anything but a number of 0 or more. */
export function bound(name: string, value: number | undefined, usual: number): number {
  if (value === undefined) return usual
  if (Number.isFinite(value) && value >= 0) return Math.min(value, LONGEST_TIMER_MS)
  throw new ConfigurationError(`${name} is not a number of 0 or more`)
}
