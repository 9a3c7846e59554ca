/** Runs our evaluator and Cedar's side by side on random input and reports the first difference. */
import { compileExpression } from './compile.ts'
import { type CedarRequest, EvalContext } from './entity.ts'
import { Place } from './est.ts'
import {
  entityMap,
  judgeExpressions,
  Oracle,
  type Plain,
  permitWhen,
  policyJson,
  type Verdict,
  valueText,
  verdictOf,
} from './oracle.test-kit.ts'
import { compilePolicies } from './policy-set.ts'
import { Expressions, Random, randomPolicy, randomRecord, randomWorld } from './random.test-kit.ts'
import { CedarError, EntityUid, type Value } from './value.ts'

export interface Tally {
  compared: number
  allowed: number
  forbidden: number
  failed: number
}

/** One random world: some policies, many requests, all three sets compared for each. */
export function compareDecisions(seed: number, requests: number): Tally {
  const random = new Random(seed)
  const world = randomWorld(random)
  const texts = Array.from({ length: 1 + random.below(12) }, () => randomPolicy(random, world, 3))
  const policies = texts.map((text, index) => ({ id: `p${index}`, json: policyJson(text) }))
  const set = compilePolicies(policies)
  const oracle = new Oracle(policies, world.plain)
  const { map, of } = entityMap(world.plain)
  const tally = { compared: 0, allowed: 0, forbidden: 0, failed: 0 }
  for (let turn = 0; turn < requests; turn++) {
    const request: CedarRequest = {
      principal: of(random.pick(world.uids)),
      action: of(random.pick(world.actions)),
      resource: of(random.pick(world.uids)),
      context: randomRecord(random, world.uids),
    }
    const ours = verdictOf(set.evaluate(request, map))
    const theirs = oracle.judge(request)
    if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
      throw new Error(
        `seed ${seed}, request ${turn}: ours ${JSON.stringify(ours)}, Cedar ${JSON.stringify(theirs)}\n${texts.join('\n')}`,
      )
    }
    if (turn % 10 === 0) checkDecision(ours, oracle.decide(request), seed)
    tally.compared++
    if (ours.permits.length > 0 && ours.forbids.length === 0) tally.allowed++
    if (ours.forbids.length > 0) tally.forbidden++
    if (ours.errors.length > 0) tally.failed++
  }
  return tally
}

/** The judge's sets come from rewritten policies; this holds them against the real ones. */
function checkDecision(ours: Verdict, theirs: ReturnType<Oracle['decide']>, seed: number): void {
  const allow = ours.permits.length > 0 && ours.forbids.length === 0
  const expected = {
    decision: allow ? 'allow' : 'deny',
    reason: allow ? ours.permits : ours.forbids,
    errors: ours.errors,
  }
  if (JSON.stringify(expected) === JSON.stringify(theirs)) return
  throw new Error(
    `seed ${seed}: ours ${JSON.stringify(expected)}, Cedar decides ${JSON.stringify(theirs)}`,
  )
}

/** Random expressions in one random world, compared by value. Returns how many, and failures. */
export function compareValues(seed: number, count: number): { compared: number; failed: number } {
  const random = new Random(seed)
  const world = randomWorld(random)
  const { map, of } = entityMap(world.plain)
  const request: CedarRequest = {
    principal: of(random.pick(world.uids)),
    action: of(random.pick(world.actions)),
    resource: of(random.pick(world.uids)),
    context: randomRecord(random, world.uids),
  }
  const expressions = new Expressions(random, world.uids, 0.02)
  const texts = Array.from({ length: count }, () => expressions.any(random.below(4)))
  const results = judgeValues(texts, new EvalContext(request, map), request, world.plain)
  for (const { text, ours, agrees } of results) {
    if (!agrees) throw new Error(`seed ${seed}: ours ${show(ours)}, Cedar differs on\n${text}`)
  }
  const failed = results.filter(({ ours }) => ours instanceof CedarError).length
  return { compared: results.length, failed }
}

export interface Judged {
  text: string
  ours: Value | CedarError
  agrees: boolean
}

/** Our value v must satisfy Cedar's `expression == v`; our error must be an error there too. */
export function judgeValues(
  texts: readonly string[],
  context: EvalContext,
  request: CedarRequest,
  plain: readonly Plain[],
): Judged[] {
  const ours = texts.map((text) => evaluateText(text, context))
  const claims = texts.map((text, index) => {
    const value = ours[index]
    return value === undefined || value instanceof CedarError
      ? `(${text}) == true`
      : `(${text}) == ${valueText(value)}`
  })
  const verdicts = judgeExpressions(claims, request, plain)
  return texts.map((text, index) => {
    const value = ours[index] ?? new CedarError('not evaluated')
    const expected = value instanceof CedarError ? 'error' : 'true'
    return { text, ours: value, agrees: verdicts[index] === expected }
  })
}

export function evaluateText(text: string, context: EvalContext): Value | CedarError {
  const [condition] = policyJson(permitWhen(text)).conditions
  return compileExpression(condition?.body, new Place(text)).run(context)
}

export function show(value: Value | CedarError): string {
  return value instanceof CedarError ? `error (${value.message})` : valueText(value)
}

/** A fixed world for hand-picked cases. */
export function fixture(): { request: CedarRequest; plain: Plain[]; context: EvalContext } {
  const user = new EntityUid('User', 'ada')
  const group = new EntityUid('Group', 'eng')
  const company = new EntityUid('Group', 'all')
  const doc = new EntityUid('Doc', '1')
  const read = new EntityUid('Action', 'read')
  const nothing = new Map<string, Value>()
  const attrs = new Map<string, Value>([
    ['age', 41],
    ['boss', new EntityUid('User', 'bob')],
    ['address', new Map([['city', 'Paris']])],
    ['__proto__', 'p'],
    ['constructor', 'c'],
  ])
  const plain: Plain[] = [
    { uid: user, parents: [group], attrs, tags: new Map([['team', 'core']]) },
    {
      uid: new EntityUid('User', 'bob'),
      parents: [],
      attrs: new Map([['age', 50]]),
      tags: nothing,
    },
    { uid: group, parents: [company], attrs: nothing, tags: nothing },
    { uid: company, parents: [], attrs: nothing, tags: nothing },
    { uid: doc, parents: [], attrs: new Map([['owner', user]]), tags: nothing },
    { uid: read, parents: [], attrs: nothing, tags: nothing },
  ]
  const { map, of } = entityMap(plain)
  const request: CedarRequest = {
    principal: of(user),
    action: of(read),
    resource: of(doc),
    context: new Map<string, Value>([
      ['n', 3],
      ['s', 'text'],
      ['r', new Map([['a', new Map([['b', 1]])]])],
    ]),
  }
  return { request, plain, context: new EvalContext(request, map) }
}
