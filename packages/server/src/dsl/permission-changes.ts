/** What changes between two versions of a program, for a person who answers for it. */
import { parseDuties, type QuotaObligation, type RateObligation } from '../policy/obligations.ts'
import { coversPermission } from './permission-cover.ts'
import { conditionOf, deedOf, oneLine } from './permission-words.ts'
import type { Permission, PermissionChange, Permissions } from './permissions.ts'

const NOTHING: Permissions = { allows: [], denies: [], budgets: {}, rules: {}, notes: [] }

/**
 * What is wider comes first, then by text. What is covered by something that was there before is no change.
 *
 * @param old Of the version that runs now; undefined: the program is new.
 */
export function permissionChanges(
  old: Permissions | undefined,
  next: Permissions,
): readonly PermissionChange[] {
  const before = old ?? NOTHING
  const changes = [
    ...lines('wider', news(before, next, 'allows'), ({ deed, under }) => `may now ${deed}${under}`),
    ...lines(
      'wider',
      news(next, before, 'denies'),
      ({ deed, under }) => `is no longer kept from this: ${deed}${under}`,
    ),
    ...lines(
      'narrower',
      news(next, before, 'allows'),
      ({ deed, under }) => `may no longer ${deed}${under}`,
    ),
    ...lines(
      'narrower',
      news(before, next, 'denies'),
      ({ deed, under }) => `is now kept from this: ${deed}${under}`,
    ),
    ...requirementChanges(before, next),
    ...budgetChanges(old, next),
  ]
  const seen = new Map(changes.map((change) => [`${change.direction} ${change.text}`, change]))
  return [...seen.values()].sort((a, b) => {
    if (a.direction !== b.direction) return a.direction === 'wider' ? -1 : 1
    return a.text < b.text ? -1 : 1
  })
}

function requirementChanges(before: Permissions, next: Permissions): PermissionChange[] {
  const [had, has] = [before.requires ?? [], next.requires ?? []]
  const said = (direction: PermissionChange['direction'], words: string, all: readonly string[]) =>
    all.map((text) => ({ direction, text: `${words} ${oneLine(text)}` }))
  return [
    ...said(
      'wider',
      'no longer requires, before it runs,',
      had.filter((one) => !has.includes(one)),
    ),
    ...said(
      'narrower',
      'now requires, before it runs,',
      has.filter((one) => !had.includes(one)),
    ),
  ]
}

interface News {
  readonly deed: string
  /** With its condition; and without one, where there was one before. */
  readonly under: string
}

/** What `to` has and nothing of `from` covers. */
function news(from: Permissions, to: Permissions, list: 'allows' | 'denies'): News[] {
  const isCovered = (one: Permission): boolean =>
    from[list].some((known) => coversPermission(known, from.rules, one, to.rules))
  return to[list]
    .filter((one) => !isCovered(one))
    .map((one) => {
      const before = from[list].filter((known) => {
        return coversPermission({ ...known, conditions: [] }, {}, { ...one, conditions: [] }, {})
      })
      const always = before.length > 0 && one.conditions.length === 0
      const under = always ? ' without a condition' : conditionOf(one, to.rules)
      return { deed: deedOf(one), under }
    })
}

function lines(
  direction: PermissionChange['direction'],
  all: readonly News[],
  text: (one: News) => string,
): PermissionChange[] {
  return all.map((one) => ({ direction, text: text(one) }))
}

/** An amount that may only be less, and its words. */
interface Measure {
  readonly value: number | undefined
  readonly words: (value: number) => string
}

function budgetChanges(old: Permissions | undefined, next: Permissions): PermissionChange[] {
  const before = old?.budgets ?? {}
  const { budgets } = next
  const limits: readonly (readonly [Measure['words'], keyof typeof budgets, string])[] = [
    [
      (micros) => `may spend up to $${micros / 1_000_000} a run`,
      'costMicros',
      'may spend without a limit of its own',
    ],
    [
      (tokens) => `may use up to ${tokens} tokens a call`,
      'maxTokens',
      'may use any number of tokens a call',
    ],
    [
      (seconds) => `may run for up to ${seconds} s`,
      'timeoutSeconds',
      'may run without a time limit of its own',
    ],
  ]
  const amounts = limits.flatMap(([words, name, unlimited]) =>
    amountChange(
      before[name] as number | undefined,
      budgets[name] as number | undefined,
      old,
      words,
      unlimited,
    ),
  )
  return [
    ...amounts,
    ...textChange(before.rate, budgets.rate, old, 'rate', 'may act at any rate'),
    ...textChange(before.quota, budgets.quota, old, 'quota', 'may act without a quota of its own'),
  ]
}

function amountChange(
  before: number | undefined,
  now: number | undefined,
  old: Permissions | undefined,
  words: (value: number) => string,
  unlimited: string,
): PermissionChange[] {
  if (now === before) return []
  const isWider = now === undefined || (before !== undefined && now > before) || old === undefined
  const text = now === undefined ? unlimited : words(now)
  return [{ direction: isWider ? 'wider' : 'narrower', text: text + was(before, words) }]
}

function was(before: number | undefined, words: (value: number) => string): string {
  return before === undefined ? '' : ` (before: ${words(before)})`
}

/** Rates and quotas of several numbers can be wider and narrower at once. */
function textChange(
  before: string | undefined,
  now: string | undefined,
  old: Permissions | undefined,
  name: 'rate' | 'quota',
  unlimited: string,
): PermissionChange[] {
  if (before === now) return []
  // Each permit counts for itself, and who reads it must not take it for one limit of all.
  const text = now === undefined ? unlimited : `may act up to ${now} by each permission`
  const past = before === undefined ? '' : ` (before: ${before})`
  const change = (direction: PermissionChange['direction']): PermissionChange[] => [
    { direction, text: text + past },
  ]
  if (old === undefined || now === undefined) return change('wider')
  if (before === undefined) return change('narrower')
  const [a, b] = [limitsOf(name, before), limitsOf(name, now)]
  return [...(isLooser(b, a) ? change('wider') : []), ...(isLooser(a, b) ? change('narrower') : [])]
}

/** Each limit by what it counts; of two for one thing the lesser holds. */
function limitsOf(name: 'rate' | 'quota', text: string): ReadonlyMap<string, number> {
  const { rates, quotas } = parseDuties('budget', 'permit', { [name]: text })
  const limits = new Map<string, number>()
  for (const [key, value] of [...rates.flatMap(ofRate), ...quotas.map(ofQuota)])
    limits.set(key, Math.min(value, limits.get(key) ?? Number.POSITIVE_INFINITY))
  return limits
}

function ofRate({ perSecond, burst, perDay }: RateObligation): (readonly [string, number])[] {
  const found: (readonly [string, number])[] = []
  if (perSecond !== undefined) found.push(['second', perSecond])
  if (burst !== undefined) found.push(['burst', burst])
  if (perDay !== undefined) found.push(['day', perDay])
  return found
}

function ofQuota({ limit, windowSeconds, sliding }: QuotaObligation): readonly [string, number] {
  return [`${windowSeconds} ${sliding}`, limit]
}

/** Something that the other holds down goes higher, or is not held down at all. */
function isLooser(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return [...b].some(([key, limit]) => (a.get(key) ?? Number.POSITIVE_INFINITY) > limit)
}
