/** What gateway policies refuse, as Cedar forbids: each guard is one, with the rank and reason of its answer. */
import {
  binary,
  CONTEXT,
  call,
  type Expression,
  entity,
  has,
  long,
  member,
  not,
  type Scope,
  text,
  texts,
  type WrittenPolicy,
} from './cedar/expression.ts'
import { DOMAIN_LISTED, FETCH_TOOL } from './decision.ts'
import { blockedPattern, domainPattern, mailDomain } from './gateway-domain.ts'
import { fromOf, type MergedGateway } from './gateway-merge.ts'
import type { GatewaySchedule, TimeWindow } from './gateway-spec.ts'
import { TOOL_RANKS } from './tool-ranks.ts'
import { DAYS, formatWindow, weekly } from './window.ts'

/** A policy but for whom it binds and on what action. */
export type GatewayPart = Omit<WrittenPolicy, 'principal' | 'action'>
type Part = GatewayPart

const ANY_TOOL: Scope = { op: 'is', type: 'Tool' }
const FETCHES: Scope = { op: 'in', type: 'Tool', id: FETCH_TOOL }
const SENDS: Scope = { op: '==', type: 'Tool', id: 'gmail_send:send' }

interface Forbid {
  /** Whose policy, and what of it. */
  id: string
  rank: number
  reason: string
  /** Told to the caller: nothing an operator wrote. */
  description: string
  resource?: Scope
  /** Absent: always. */
  when?: Expression
}

function forbid({ id, rank, reason, description, resource = ANY_TOOL, when }: Forbid): Part {
  return {
    id,
    effect: 'forbid',
    notes: [
      ['rank', String(rank)],
      ['reason', reason],
      ['description', description],
      ...(when === undefined ? [] : [['clauses', id.slice(id.lastIndexOf('/') + 1)] as const]),
    ],
    resource,
    conditions: when === undefined ? [] : [when],
  }
}

export function intentForbids(merged: MergedGateway): Part[] {
  const { intent, intentRequired } = merged.spec
  const forbids: Part[] = []
  const given = has(CONTEXT, 'intent')
  if (intent !== undefined) {
    const allowed = texts(typeof intent === 'string' ? [intent] : intent)
    forbids.push(
      forbid({
        id: `${fromOf(merged, 'intent')}/intent`,
        rank: TOOL_RANKS.intentMismatch,
        reason: 'INTENT_MISMATCH',
        description: 'the intent is not one that is allowed',
        when: binary(given, '&&', not(call(allowed, 'contains', member(CONTEXT, 'intent')))),
      }),
    )
  }
  if (intentRequired === true) {
    forbids.push(
      forbid({
        id: `${fromOf(merged, 'intentRequired')}/intent-required`,
        rank: TOOL_RANKS.intentRequired,
        reason: 'INTENT_REQUIRED',
        description: 'the call names no intent',
        when: not(given),
      }),
    )
  }
  return forbids
}

export function guardForbids(merged: MergedGateway): Part[] {
  const { guards, schedule } = merged.spec
  const forbids: Part[] = []
  const from = (path: string): string => fromOf(merged, path)
  if (guards?.maxRequestSize !== undefined) {
    const size = member(CONTEXT, 'request_bytes')
    forbids.push(
      forbid({
        id: `${from('guards.maxRequestSize')}/guard/max-request-size`,
        rank: TOOL_RANKS.requestSize,
        reason: 'REQUEST_TOO_LARGE',
        description: `the parameters are larger than ${guards.maxRequestSize} bytes`,
        when: binary(
          has(CONTEXT, 'request_bytes'),
          '&&',
          binary(size, '>', long(guards.maxRequestSize)),
        ),
      }),
    )
  }
  forbids.push(...domainForbids(merged))
  if (guards?.timeWindow !== undefined) {
    forbids.push(
      forbid({
        id: `${from('guards.timeWindow')}/guard/time-window`,
        rank: TOOL_RANKS.timeWindow,
        reason: 'TIME_WINDOW',
        description: 'it is outside the hours in which calls are allowed',
        when: outside(windowText(guards.timeWindow)),
      }),
    )
  }
  forbids.push(...mailForbids(merged))
  if (schedule !== undefined && schedule.enabled !== false) {
    forbids.push(
      forbid({
        id: `${from('schedule')}/schedule`,
        rank: TOOL_RANKS.schedule,
        reason: 'SCHEDULE',
        description: 'it is outside the days and hours in which calls are allowed',
        when: outside(scheduleText(schedule)),
      }),
    )
  }
  return forbids
}

function domainForbids(merged: MergedGateway): Part[] {
  const { scopes, guards } = merged.spec
  const forbids: Part[] = []
  const inList = (patterns: readonly string[]): Expression =>
    binary(
      has(CONTEXT, 'host'),
      '&&',
      binary(member(CONTEXT, 'host'), 'in', entity('HostGlob', patterns.join(','))),
    )
  const blocked = guards?.blockedDomains ?? []
  if (blocked.length > 0) {
    forbids.push(
      forbid({
        id: `${fromOf(merged, 'guards.blockedDomains')}/guard/blocked-domains`,
        rank: TOOL_RANKS.domainBlocked,
        reason: 'DOMAIN_BLOCKED',
        description: 'the domain is blocked',
        resource: FETCHES,
        when: inList(blocked.map(blockedPattern)),
      }),
    )
  }
  const offList = (id: string, domains: readonly string[] | undefined): void => {
    const listed = call(member(CONTEXT, 'holds'), 'contains', text(DOMAIN_LISTED))
    const known = domains === undefined ? listed : inList(domains.map(domainPattern))
    forbids.push(
      forbid({
        id,
        rank: TOOL_RANKS.domainNotAllowed,
        reason: 'DOMAIN_NOT_ALLOWED',
        description: 'the domain is not one that is allowed',
        resource: FETCHES,
        // A list without members names no domain at all.
        ...(domains?.length === 0 ? {} : { when: not(known) }),
      }),
    )
  }
  const own = guards?.http_fetch?.allowedDomains
  if (guards?.allowedDomains !== undefined) {
    offList(
      `${fromOf(merged, 'guards.allowedDomains')}/guard/allowed-domains`,
      guards.allowedDomains,
    )
  }
  if (own !== undefined) {
    offList(
      `${fromOf(merged, 'guards.http_fetch.allowedDomains')}/guard/http_fetch-allowed-domains`,
      own,
    )
  }
  const fetches = scopes.find((scope) => scope === '*' || scope.startsWith(`${FETCH_TOOL}:`))
  if (guards?.allowedDomains === undefined && own === undefined && fetches !== undefined) {
    offList(`${fromOf(merged, `scopes.${fetches}`)}/guard/no-allowed-domains`, undefined)
  }
  return forbids
}

function mailForbids(merged: MergedGateway): Part[] {
  const { allowedDomains, subjectMaxLen, bodyMaxLen } = merged.spec.guards?.gmail_send ?? {}
  const guard = { rank: TOOL_RANKS.guard, reason: 'GUARD', resource: SENDS }
  const forbids: Part[] = []
  if (allowedDomains !== undefined) {
    const known = binary(
      has(CONTEXT, 'recipients'),
      '&&',
      call(texts(allowedDomains.map(mailDomain)), 'containsAll', member(CONTEXT, 'recipients')),
    )
    forbids.push(
      forbid({
        ...guard,
        id: `${fromOf(merged, 'guards.gmail_send.allowedDomains')}/guard/gmail_send-allowed-domains`,
        description: 'a recipient is not of a domain that is allowed',
        ...(allowedDomains.length === 0 ? {} : { when: not(known) }),
      }),
    )
  }
  const tooLong = (field: 'subject' | 'body', most: number | undefined): void => {
    if (most === undefined) return
    const nums = member(CONTEXT, 'nums')
    const tag = text(`/${field}#length`)
    forbids.push(
      forbid({
        ...guard,
        id: `${fromOf(merged, `guards.gmail_send.${field}MaxLen`)}/guard/gmail_send-${field}-length`,
        description: `the ${field} is longer than ${most} characters`,
        when: binary(
          call(nums, 'hasTag', tag),
          '&&',
          binary(call(nums, 'getTag', tag), '>', long(most)),
        ),
      }),
    )
  }
  tooLong('subject', subjectMaxLen)
  tooLong('body', bodyMaxLen)
  return forbids
}

function outside(window: string): Expression {
  return not(binary(member(CONTEXT, 'clock'), 'in', entity('Window', window)))
}

function windowText({ start = '00:00', end = '23:59', timezone = 'UTC' }: TimeWindow): string {
  return formatWindow(weekly(DAYS, start, end, timezone, true))
}

const SUNDAY_FIRST = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const

function scheduleText({
  timezone = 'UTC',
  allowedDays,
  allowedHours: { start = 0, end = 23 } = {},
}: GatewaySchedule): string {
  const days = allowedDays?.flatMap((day) => SUNDAY_FIRST[day] ?? []) ?? DAYS
  const hour = (value: number): string => String(value).padStart(2, '0')
  return formatWindow(weekly(days, `${hour(start)}:00`, `${hour(end)}:59`, timezone, true))
}
