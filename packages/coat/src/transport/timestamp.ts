/** Wall time as RFC 3339 text, in UTC with milliseconds. Formatting a date costs more than an envelope may. */

let second = Number.NaN
let prefix = ''

/** @param epochMs What is no time a date can hold becomes now. */
export function timestamp(epochMs: number): string {
  const whole = Math.floor(epochMs)
  // 0001-01-01 to 9999-12-31: within them the text has a fixed width.
  if (!(whole >= -62_135_596_800_000 && whole <= 253_402_300_799_999)) return timestamp(Date.now())
  const current = Math.floor(whole / 1000)
  if (current !== second) {
    prefix = new Date(current * 1000).toISOString().slice(0, 20)
    second = current
  }
  const ms = whole - current * 1000
  return `${prefix}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
}
