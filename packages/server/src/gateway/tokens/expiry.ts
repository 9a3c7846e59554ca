/**
 * Until when a requested token lives (wire contract §6.6). One of the two clients sends local wall-clock time
 * without saying where it is, so such a text is read with care: nobody is locked out, and nobody gets hours
 * by living east of us. Pure.
 */
import { VestryError } from '@vestry/contract/errors'
import { parseDateTime } from './date-time.ts'
import { instantsOf, isZone } from './zone.ts'

export interface ExpiryRules {
  /** Epoch ms. */
  readonly nowMs: number
  /** IANA name from the agent's record: then a text without a zone means exactly this one. */
  readonly agentZone?: string
  /** IANA name that a text without a zone is first tried in. */
  readonly serverZone: string
  /** The longest that such a text can ask for. */
  readonly naiveMaxMinutes: number
  /** The longest that any text can ask for. */
  readonly maxTtlMinutes: number
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Zones differ by multiples of this, so what is left of a difference is what the client asked for. */
const ZONE_STEP_MS = 15 * MINUTE_MS
/** Less is no use to anybody; the client must have asked for a step more. */
const MIN_LEFT_MS = 2 * MINUTE_MS
/** No client is further west of the server than this. */
const FURTHEST_WEST_MS = 12 * HOUR_MS

/** @returns Epoch ms, after now. @throws VestryError `INVALID_EXPIRY` */
export function resolveExpiry(text: string, rules: ExpiryRules): number {
  const { nowMs, agentZone, serverZone, maxTtlMinutes } = rules
  const read = parseDateTime(text)
  if (read === undefined) {
    throw invalid(
      'expires_at is not a date and time',
      'Write it like 2030-01-01T00:10:00Z; a date alone is not enough.',
    )
  }
  const { wallMs, offsetMs } = read
  let leftMs: number
  if (offsetMs !== undefined) leftMs = wallMs - offsetMs - nowMs
  else if (agentZone !== undefined) leftMs = leftIn(wallMs, agentZone, nowMs)
  else leftMs = naiveLeft(leftIn(wallMs, serverZone, nowMs), rules)
  if (leftMs <= 0) throw past()
  return nowMs + Math.min(leftMs, maxTtlMinutes * MINUTE_MS)
}

/** Where the clock shows a time twice, the one that is still to come. */
function leftIn(wallMs: number, zone: string, nowMs: number): number {
  if (!isZone(zone)) {
    throw invalid('The time zone of this agent is not known', 'Send expires_at with a zone.')
  }
  const instants = instantsOf(wallMs, zone)
  return (instants.find((instant) => instant > nowMs) ?? Math.max(...instants)) - nowMs
}

function naiveLeft(leftMs: number, { naiveMaxMinutes }: ExpiryRules): number {
  const maxMs = naiveMaxMinutes * MINUTE_MS
  if (leftMs > 0) return Math.min(leftMs, maxMs)
  if (leftMs < -FURTHEST_WEST_MS) throw past()
  const restMs = ((leftMs % ZONE_STEP_MS) + ZONE_STEP_MS) % ZONE_STEP_MS
  return Math.min(restMs < MIN_LEFT_MS ? restMs + ZONE_STEP_MS : restMs, maxMs)
}

function past(): VestryError {
  return invalid('expires_at is in the past', 'Ask for a time that is still to come, in UTC.')
}

function invalid(message: string, hint: string): VestryError {
  return new VestryError('INVALID_EXPIRY', message, { hint })
}
