/** Date-times as clients write them: ISO 8601 with or without seconds, fraction and zone designator. Pure. */

export interface DateTime {
  /** The written digits, read as if they were UTC; epoch ms. */
  readonly wallMs: number
  /** East of UTC; undefined when the text does not say. */
  readonly offsetMs: number | undefined
}

const DATE_TIME =
  /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(?:[Zz]|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?$/
const MINUTE_MS = 60_000

/**
 * A date alone is refused: it is midnight of a zone that the text does not name, hours away from what was meant.
 *
 * @returns undefined for anything but a date and a time that exist in the calendar.
 */
export function parseDateTime(text: string): DateTime | undefined {
  const match = DATE_TIME.exec(text)
  if (match === null) return undefined
  const [, day, minute, second = '00', fraction = '', sign, hours, minutes = '00'] = match
  const iso = `${day}T${minute}:${second}.${fraction.slice(0, 3).padEnd(3, '0')}Z`
  const wallMs = Date.parse(iso)
  // Date.parse rolls 2030-02-30 over into March and takes 24:00 for the next day.
  if (Number.isNaN(wallMs) || new Date(wallMs).toISOString() !== iso) return undefined
  if (sign === undefined) return { wallMs, offsetMs: /z$/i.test(text) ? 0 : undefined }
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
  return { wallMs, offsetMs: sign === '-' ? -offsetMs : offsetMs }
}

/** Epoch ms; undefined unless the text names its zone. */
export function parseInstant(text: string): number | undefined {
  const read = parseDateTime(text)
  return read?.offsetMs === undefined ? undefined : read.wallMs - read.offsetMs
}
