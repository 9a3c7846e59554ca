/** Wall-clock times of IANA zones as instants, by the platform's own zone rules. */
import { RecentMap } from '../../store/recent-map.ts'

const DAY_MS = 86_400_000
const SECOND_MS = 1000

/** Making a format is slow; zones come from agents' records, so there are few but not certainly so. */
const formats = new RecentMap<string, Intl.DateTimeFormat>(256)

/** An IANA name that this system knows. Plain offsets are none: they do not follow clock changes. */
export function isZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false
  try {
    formatOf(name)
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

/**
 * The instants at which a clock in `zone` shows `wallMs` (its digits read as UTC), earliest first: two where
 * clocks were set back. Where they were set forward over it, the one that the old offset gives, which is what
 * adding minutes to a wall clock means.
 *
 * @throws RangeError unless {@link isZone}.
 */
export function instantsOf(wallMs: number, zone: string): readonly [number, ...number[]] {
  const format = formatOf(zone)
  // No offset exceeds 14 hours, so these two lie before and after whatever change is near.
  const early = wallMs - offsetAt(format, wallMs - DAY_MS)
  const late = wallMs - offsetAt(format, wallMs + DAY_MS)
  const shows = (instant: number) => instant + offsetAt(format, instant) === wallMs
  if (early === late || !shows(late)) return [early]
  if (!shows(early)) return [late]
  return early < late ? [early, late] : [late, early]
}

/** Wall clock minus UTC, ms. */
function offsetAt(format: Intl.DateTimeFormat, instant: number): number {
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {}
  for (const { type, value } of format.formatToParts(instant)) parts[type] = Number(value)
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  const wall = Date.UTC(year, month - 1, day, hour, minute, second)
  return wall - Math.floor(instant / SECOND_MS) * SECOND_MS
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(zone, format)
  }
  return format
}
