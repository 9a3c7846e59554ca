/** Random Cedar worlds: entities, requests, expressions and policies drawn from one small seed. */
import { Datetime } from './datetime.ts'
import { Decimal } from './decimal.ts'
import { Duration } from './duration.ts'
import { IpAddr } from './ip.ts'
import { type Plain, stringText, valueText } from './oracle.test-kit.ts'
import { type CedarRecord, CedarSet, EntityUid, type Value } from './value.ts'

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Mulberry32: small, fast, and the same everywhere. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  pick<T>(from: readonly T[]): T {
    const chosen = from[this.below(from.length)]
    if (chosen === undefined) throw new Error('nothing to pick from')
    return chosen
  }

  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make)
  }
}

const NAMES = ['a', 'b', 'c', 'owner', 'tags', '__proto__', 'constructor', 'x y', 'é']
const STRINGS = [
  '',
  'a',
  'b',
  'ab',
  'aab',
  'a*b',
  'A',
  'é',
  'e\u0301',
  '😀',
  'a😀b',
  '\u0000',
  '10.0.0.1',
]
const LONGS = [0, 1, 2, 3, -1, -2, 10, 1000, 2 ** 31, 2 ** 53 - 1, -(2 ** 53 - 1), 3037000499]
const TYPES = ['User', 'Group', 'Doc', 'App::Folder']
const ACTIONS = ['read', 'write', 'all', 'none']
const IPS = [
  '10.0.0.1',
  '10.0.0.0/8',
  '10.0.0.1/8',
  '127.0.0.1',
  '127.0.0.0/7',
  '224.0.0.1',
  '::1',
  'ff00::/8',
  '::/0',
  '0.0.0.0/0',
  'fe80::1/64',
]
const DECIMALS = ['0.0', '1.0', '-1.5', '1.2345', '922337203685477.5807', '-922337203685477.5808']
const DATETIMES = [
  '1970-01-01',
  '2024-02-29',
  '2024-02-29T23:59:59Z',
  '1969-12-31T23:59:59.999Z',
  '2024-01-01T00:00:00+0530',
  '0000-01-01',
  '9999-12-31T23:59:59.999-2359',
]
const DURATIONS = [
  '0ms',
  '1d',
  '-1h',
  '1d2h3m4s5ms',
  '-1ms',
  '9223372036854775807ms',
  '-9223372036854775808ms',
  '36h',
]

type Kind =
  | 'bool'
  | 'long'
  | 'string'
  | 'entity'
  | 'set'
  | 'record'
  | 'decimal'
  | 'ip'
  | 'datetime'
  | 'duration'

const KINDS: readonly Kind[] = [
  'bool',
  'long',
  'string',
  'entity',
  'set',
  'record',
  'decimal',
  'ip',
  'datetime',
  'duration',
]

export interface World {
  plain: Plain[]
  uids: EntityUid[]
  actions: EntityUid[]
}

export function randomWorld(random: Random): World {
  const uids = TYPES.flatMap((type) => ['1', '2', 'é"'].map((id) => new EntityUid(type, id)))
  const actions = ACTIONS.map((id) => new EntityUid('Action', id))
  const plain: Plain[] = []
  // Parents come later in the list, so there is no cycle; some entities stay unknown.
  uids.forEach((uid, index) => {
    if (random.chance(0.2)) return
    const parents = uids.slice(index + 1).filter(() => random.chance(0.2))
    plain.push({
      uid,
      parents,
      attrs: randomRecord(random, uids),
      tags: randomRecord(random, uids),
    })
  })
  actions.forEach((uid, index) => {
    const parents = actions.slice(index + 1).filter(() => random.chance(0.4))
    plain.push({ uid, parents, attrs: new Map(), tags: new Map() })
  })
  return { plain, uids, actions }
}

export function randomRecord(random: Random, uids: readonly EntityUid[], depth = 2): CedarRecord {
  return new Map(
    random.list(6, () => [random.pick(NAMES), randomValue(random, uids, depth)] as const),
  )
}

/** Values that the judge can be given as JSON: integers stay safe, datetimes writable. */
export function randomValue(random: Random, uids: readonly EntityUid[], depth: number): Value {
  const kind = random.pick(KINDS)
  switch (kind) {
    case 'bool':
      return random.chance(0.5)
    case 'long':
      return random.pick(LONGS)
    case 'string':
      return random.pick(STRINGS)
    case 'entity':
      return random.pick(uids)
    case 'set':
      if (depth === 0) return new CedarSet()
      return new CedarSet(random.list(3, () => randomValue(random, uids, depth - 1)))
    case 'record':
      return depth === 0 ? new Map() : randomRecord(random, uids, depth - 1)
    case 'decimal':
      return new Decimal(random.pick(LONGS))
    case 'ip':
      return random.chance(0.5) ? new IpAddr(4, 10n << 24n, 8) : new IpAddr(6, 1n, 128)
    case 'datetime':
      return new Datetime(random.pick([0, -1, 1704067200000, 86_400_000]))
    case 'duration':
      return new Duration(random.pick(LONGS))
  }
}

/** Cedar source text of mostly the wanted type; now and then of another, to provoke errors. */
export class Expressions {
  readonly #random: Random
  readonly #uids: readonly EntityUid[]
  /** The share of places that get a value of any type whatever. */
  readonly #noise: number

  constructor(random: Random, uids: readonly EntityUid[], noise = 0.04) {
    this.#random = random
    this.#uids = uids
    this.#noise = noise
  }

  any(depth: number): string {
    return this.of(this.#random.pick(KINDS), depth)
  }

  of(kind: Kind, depth: number): string {
    const random = this.#random
    const wanted = random.chance(this.#noise) ? random.pick(KINDS) : kind
    if (depth <= 0) return this.#leaf(wanted)
    if (random.chance(0.1)) {
      return `(if ${this.of('bool', depth - 1)} then ${this.of(wanted, depth - 1)} else ${this.of(wanted, depth - 1)})`
    }
    if (random.chance(0.06)) return this.#access(depth - 1)
    if (random.chance(0.04)) {
      const name = stringText(random.pick(NAMES))
      return `{${name}: ${this.of(wanted, depth - 1)}, "other": ${this.any(0)}}[${name}]`
    }
    return this.#compound(wanted, depth - 1)
  }

  #compound(kind: Kind, depth: number): string {
    const random = this.#random
    const two = (of: Kind): [string, string] => [this.of(of, depth), this.of(of, depth)]
    switch (kind) {
      case 'bool':
        return this.#boolean(depth)
      case 'long': {
        const [a, b] = two('long')
        const span = this.of('duration', depth)
        return random.pick([
          `(${a} + ${b})`,
          `(${a} - ${b})`,
          `(${a} * ${b})`,
          `(-(${a}))`,
          `(${a})`,
          `(${span}).${random.pick(['toMilliseconds', 'toSeconds', 'toMinutes', 'toHours', 'toDays'])}()`,
        ])
      }
      case 'set':
        return `[${random.list(3, () => this.any(depth)).join(', ')}]`
      case 'record': {
        const names = [...new Set(random.list(3, () => random.pick(NAMES)))]
        return `{${names.map((name) => `${stringText(name)}: ${this.any(depth)}`).join(', ')}}`
      }
      case 'datetime':
        return random.pick([
          `(${this.of('datetime', depth)}).offset(${this.of('duration', depth)})`,
          `(${this.of('datetime', depth)}).toDate()`,
          this.#leaf('datetime'),
        ])
      case 'duration':
        return random.pick([
          `(${this.of('datetime', depth)}).durationSince(${this.of('datetime', depth)})`,
          `(${this.of('datetime', depth)}).toTime()`,
          this.#leaf('duration'),
        ])
      default:
        return this.#leaf(kind)
    }
  }

  #boolean(depth: number): string {
    const random = this.#random
    const two = (of: Kind): [string, string] => [this.of(of, depth), this.of(of, depth)]
    const same = random.pick(KINDS)
    const [a, b] = two('bool')
    const [s, t] = two('set')
    const entity = this.of('entity', depth)
    const holder = random.chance(0.6) ? entity : this.of('record', depth)
    const decimal = random.pick([
      'lessThan',
      'lessThanOrEqual',
      'greaterThan',
      'greaterThanOrEqual',
    ])
    const makers: (() => string)[] = [
      () => `(${a} && ${b})`,
      () => `(${a} || ${b})`,
      () => `(${a} && ${b} && ${this.of('bool', depth)} || ${this.of('bool', depth)})`,
      () => `(!(${a}))`,
      () => `(${two(same).join(random.pick([' == ', ' != ']))})`,
      () => `(${this.any(depth)} == ${this.any(depth)})`,
      () => `(${two('long').join(this.#comparison())})`,
      () => `(${two('datetime').join(this.#comparison())})`,
      () => `(${two('duration').join(this.#comparison())})`,
      () => `(${entity} in ${this.of('entity', depth)})`,
      () => `(${entity} in [${random.list(3, () => this.of('entity', depth)).join(', ')}])`,
      () => `(${entity} in ${s})`,
      () => `(${entity} is ${random.pick(TYPES)})`,
      () => `(${entity} is ${random.pick(TYPES)} in ${this.of('entity', depth)})`,
      () => `(${holder} has ${stringText(random.pick(NAMES))})`,
      () => `(${holder} has ${random.pick(['a.b', 'a.b.c', 'owner.a', 'c.c.c.c'])})`,
      () => `(${this.of('string', depth)} like ${this.#pattern()})`,
      () => `(${s}).contains(${this.any(depth)})`,
      () => `(${s}).containsAll(${t})`,
      () => `(${s}).containsAny(${t})`,
      () => `(${s}).isEmpty()`,
      () => `(${entity}).hasTag(${this.of('string', depth)})`,
      () => `(${this.of('decimal', depth)}).${decimal}(${this.of('decimal', depth)})`,
      () => `(${this.of('ip', depth)}).isInRange(${this.of('ip', depth)})`,
      () =>
        `(${this.of('ip', depth)}).${random.pick(['isIpv4', 'isIpv6', 'isLoopback', 'isMulticast'])}()`,
    ]
    return random.pick(makers)()
  }

  #comparison(): string {
    return this.#random.pick([' < ', ' <= ', ' > ', ' >= '])
  }

  #pattern(): string {
    const random = this.#random
    return `"${random.list(4, () => random.pick(['a', 'b', '*', '\\*', '😀', '\\u{e9}'])).join('')}"`
  }

  /** Attributes and tags, which may be absent or of any type. */
  #access(depth: number): string {
    const random = this.#random
    const name = stringText(random.pick(NAMES))
    const entity = this.of('entity', depth)
    return random.pick([
      `context[${name}]`,
      `context[${name}]`,
      `(${entity})[${name}]`,
      `(${this.of('record', depth)})[${name}]`,
      `(${entity}).getTag(${name})`,
      `(if context has ${name} then context[${name}] else ${this.any(0)})`,
    ])
  }

  #leaf(kind: Kind): string {
    const random = this.#random
    switch (kind) {
      case 'bool':
        return random.pick(['true', 'false'])
      case 'long':
        return `${random.pick(LONGS)}`
      case 'string':
        return stringText(random.pick(STRINGS))
      case 'entity':
        return random.chance(0.6)
          ? random.pick(['principal', 'action', 'resource'])
          : valueText(random.pick(this.#uids))
      case 'set':
        return random.pick([
          '[]',
          '[1, 2]',
          '["a", 1]',
          '[[1], [1, 2]]',
          `[principal, ${valueText(random.pick(this.#uids))}]`,
        ])
      case 'record':
        return random.pick(['context', '{}', '{a: 1}', '{a: {b: {c: 1}}}', '{"x y": principal}'])
      case 'decimal':
        return `decimal(${this.#maybe(DECIMALS)})`
      case 'ip':
        return `ip(${this.#maybe(IPS)})`
      case 'datetime':
        return `datetime(${this.#maybe(DATETIMES)})`
      case 'duration':
        return `duration(${this.#maybe(DURATIONS)})`
    }
  }

  #maybe(texts: readonly string[]): string {
    return stringText(this.#random.pick(this.#random.chance(0.97) ? texts : STRINGS))
  }
}

/** A policy with a random scope, zero to three conditions. */
export function randomPolicy(random: Random, world: World, depth: number): string {
  const expressions = new Expressions(random, world.uids)
  const uid = () => valueText(random.pick(world.uids))
  const scope = (name: string) =>
    random.pick([
      name,
      name,
      name,
      name,
      name,
      `${name} == ${uid()}`,
      `${name} in ${uid()}`,
      `${name} is ${random.pick(TYPES)}`,
      `${name} is ${random.pick(TYPES)} in ${uid()}`,
    ])
  const action = () => valueText(random.pick(world.actions))
  const actions = random.pick([
    'action',
    'action',
    'action',
    `action == ${action()}`,
    `action in ${action()}`,
    `action in [${[action(), action(), action()].slice(random.below(4)).join(', ')}]`,
  ])
  const conditions = random.list(
    3,
    () =>
      `${random.pick(['when', 'when', 'unless'])} { ${expressions.of('bool', random.below(depth + 1))} }`,
  )
  const effect = random.chance(0.6) ? 'permit' : 'forbid'
  return `${effect}(${scope('principal')}, ${actions}, ${scope('resource')}) ${conditions.join(' ')};`
}
