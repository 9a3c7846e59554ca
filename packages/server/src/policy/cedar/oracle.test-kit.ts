/** Cedar's own evaluator as the judge of ours. For tests and benchmarks only. */
import type { CedarValueJson, EntityJson, PolicyJson } from '@cedar-policy/cedar-wasm/nodejs'
import { Datetime } from './datetime.ts'
import { Decimal } from './decimal.ts'
import { Duration } from './duration.ts'
import { type CedarRequest, Entity, EntityMap } from './entity.ts'
import { IpAddr } from './ip.ts'
import { loadCedar } from './parse.ts'
import type { Evaluation } from './policy-set.ts'
import { type CedarRecord, CedarSet, EntityUid, isRecord, type Value } from './value.ts'

export interface Verdict {
  permits: string[]
  forbids: string[]
  errors: string[]
}

/** Our answer in the judge's terms. */
export function verdictOf({ permits, forbids, errors }: Evaluation): Verdict {
  return {
    permits: permits.map(({ id }) => id).sort(),
    forbids: forbids.map(({ id }) => id).sort(),
    errors: errors.map(({ policy }) => policy.id).sort(),
  }
}

/** An entity as both sides can be told of it: parents are direct ones. */
export interface Plain {
  uid: EntityUid
  parents: EntityUid[]
  attrs: CedarRecord
  tags: CedarRecord
}

/** The same entities for our evaluator, ancestors worked out. */
export function entityMap(plain: readonly Plain[]): { map: EntityMap; of(uid: EntityUid): Entity } {
  const byKey = new Map(plain.map((one) => [one.uid.key, one]))
  const entities = plain.map((one) => {
    const above = new Map<string, EntityUid>()
    const climb = (uids: readonly EntityUid[]): void => {
      for (const uid of uids) {
        if (above.has(uid.key)) continue
        above.set(uid.key, uid)
        climb(byKey.get(uid.key)?.parents ?? [])
      }
    }
    climb(one.parents)
    return new Entity(one.uid, { ancestors: above.values(), attrs: one.attrs, tags: one.tags })
  })
  const map = new EntityMap(entities)
  return { map, of: (uid) => map.get(uid) ?? new Entity(uid) }
}

export function policyJson(text: string): PolicyJson {
  const answer = loadCedar().policyToJson(text)
  if (answer.type === 'failure') throw new Error(`${text}\n${JSON.stringify(answer.errors)}`)
  return answer.json
}

let sets = 0

/**
 * Asks Cedar about every policy. It names only the deciding ones, so it is also asked about the
 * same policies turned into permits, which then all count as deciding when satisfied.
 */
export class Oracle {
  /** Holds the prepared policies; a later load may give another instance. */
  readonly #cedar = loadCedar()
  readonly #name = `oracle-${sets++ % 2}`
  readonly #effects: ReadonlyMap<string, string>
  readonly #entities: EntityJson[]

  constructor(policies: readonly { id: string; json: PolicyJson }[], plain: readonly Plain[]) {
    this.#effects = new Map(policies.map(({ id, json }) => [id, json.effect]))
    this.#entities = plain.map(entityJson)
    this.#prepare(`${this.#name}-real`, policies)
    this.#prepare(
      `${this.#name}-permits`,
      policies.map(({ id, json }) => ({ id, json: { ...json, effect: 'permit' } })),
    )
  }

  judge(request: CedarRequest): Verdict {
    const { reason, errors } = this.#ask(`${this.#name}-permits`, request, this.#entities)
    const of = (effect: string) => reason.filter((id) => this.#effects.get(id) === effect)
    return { permits: of('permit'), forbids: of('forbid'), errors }
  }

  /** Cedar's decision on the unchanged policies, and the ids it says decided. */
  decide(
    request: CedarRequest,
    entities = this.#entities,
  ): { decision: string; reason: string[]; errors: string[] } {
    return this.#ask(`${this.#name}-real`, request, entities)
  }

  #prepare(name: string, policies: readonly { id: string; json: PolicyJson }[]): void {
    const staticPolicies = Object.fromEntries(policies.map(({ id, json }) => [id, json]))
    const answer = this.#cedar.preparsePolicySet(name, { staticPolicies })
    if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors))
  }

  #ask(set: string, request: CedarRequest, entities: EntityJson[]) {
    const answer = this.#cedar.statefulIsAuthorized({
      principal: request.principal.uid,
      action: request.action.uid,
      resource: request.resource.uid,
      context: recordJson(request.context),
      preparsedPolicySetId: set,
      entities,
    })
    if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors))
    const { decision, diagnostics } = answer.response
    const errors = diagnostics.errors.map(({ policyId }) => policyId).sort()
    return { decision, reason: diagnostics.reason.sort(), errors }
  }
}

/** Which of many expressions Cedar finds true, and which fail, in one call. */
export function judgeExpressions(
  expressions: readonly string[],
  request: CedarRequest,
  plain: readonly Plain[],
): ('true' | 'not true' | 'error')[] {
  const answer = loadCedar().isAuthorized({
    principal: request.principal.uid,
    action: request.action.uid,
    resource: request.resource.uid,
    context: recordJson(request.context),
    entities: plain.map(entityJson),
    policies: {
      staticPolicies: Object.fromEntries(
        expressions.map((text, index) => [`e${index}`, permitWhen(text)]),
      ),
    },
  })
  if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors))
  const held = new Set(answer.response.diagnostics.reason)
  const failed = new Set(answer.response.diagnostics.errors.map(({ policyId }) => policyId))
  return expressions.map((_, index) => {
    if (failed.has(`e${index}`)) return 'error'
    return held.has(`e${index}`) ? 'true' : 'not true'
  })
}

export function permitWhen(expression: string): string {
  return `permit(principal, action, resource) when { ${expression} };`
}

export function entityJson({ uid, parents, attrs, tags }: Plain): EntityJson {
  return {
    uid: pair(uid),
    parents: parents.map(pair),
    attrs: recordJson(attrs),
    tags: recordJson(tags),
  }
}

function pair({ type, id }: EntityUid): { type: string; id: string } {
  return { type, id }
}

function recordJson(record: CedarRecord): Record<string, CedarValueJson> {
  return Object.fromEntries(Array.from(record, ([name, value]) => [name, valueJson(value)]))
}

function valueJson(value: Value): CedarValueJson {
  if (typeof value === 'bigint') throw new Error('the package takes no BigInt')
  if (typeof value !== 'object') return value
  if (value instanceof EntityUid) return { __entity: pair(value) }
  if (value instanceof CedarSet) return Array.from(value, valueJson)
  if (isRecord(value)) return recordJson(value)
  if (value instanceof Decimal) return { __extn: { fn: 'decimal', arg: decimalText(value) } }
  if (value instanceof IpAddr) return { __extn: { fn: 'ip', arg: ipText(value) } }
  if (value instanceof Duration) return { __extn: { fn: 'duration', arg: `${value.ms}ms` } }
  if (value instanceof Datetime) {
    const { date } = datetimeParts(value)
    return { __extn: { fn: 'datetime', arg: date } }
  }
  throw new Error(`no JSON for a ${value.typeName}`)
}

/** A value as Cedar source text, for `(expression) == (text)`. */
export function valueText(value: Value): string {
  if (typeof value === 'string') return stringText(value)
  if (typeof value !== 'object') return `${value}`
  if (value instanceof EntityUid) return `${value.type}::${stringText(value.id)}`
  if (value instanceof CedarSet) return `[${Array.from(value, valueText).join(', ')}]`
  if (isRecord(value)) {
    const fields = Array.from(value, ([name, field]) => `${stringText(name)}: ${valueText(field)}`)
    return `{${fields.join(', ')}}`
  }
  if (value instanceof Decimal) return `decimal("${decimalText(value)}")`
  if (value instanceof IpAddr) return `ip("${ipText(value)}")`
  if (value instanceof Duration) return `duration("${value.ms}ms")`
  if (value instanceof Datetime) {
    return `datetime("1970-01-01").offset(duration("${value.epochMs}ms"))`
  }
  throw new Error(`no text for a ${value.typeName}`)
}

export function stringText(text: string): string {
  let out = ''
  for (const char of text) {
    const plain = /^[A-Za-z0-9 _.,:/?!@#-]$/.test(char)
    out += plain ? char : `\\u{${char.codePointAt(0)?.toString(16)}}`
  }
  return `"${out}"`
}

function decimalText({ tenThousandths }: Decimal): string {
  const digits = BigInt(tenThousandths)
  const size = (digits < 0n ? -digits : digits).toString().padStart(5, '0')
  return `${digits < 0n ? '-' : ''}${size.slice(0, -4)}.${size.slice(-4)}`
}

function ipText({ version, bits, prefix }: IpAddr): string {
  const [groups, size] = version === 4 ? [4, 8n] : [8, 16n]
  const parts = Array.from({ length: groups }, (_, index) =>
    ((bits >> (size * BigInt(groups - 1 - index))) & ((1n << size) - 1n)).toString(
      version === 4 ? 10 : 16,
    ),
  )
  return `${parts.join(version === 4 ? '.' : ':')}/${prefix}`
}

/** Only for datetimes inside the years that can be written. */
function datetimeParts({ epochMs }: Datetime): { date: string } {
  return { date: new Date(Number(epochMs)).toISOString() }
}
