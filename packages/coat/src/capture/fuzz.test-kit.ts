/** Random graphs of objects, as strange as values get, from a seed. */

export function randomSource(seed: number): () => number {
  let state = seed >>> 0
  // Mulberry32: enough for choosing shapes, and the same on every machine.
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One piece of memory: as a rope it would cost its copying at the first look, whoever looks. */
const HUGE = Buffer.alloc(10_000_000, 'sk-ant-0 password= eyJhbGci://a:b@').toString('latin1')
const MANY = Array.from({ length: 300 }, (_, at) => [`key${at}`, at] as const)
const boom = () => {
  throw new Error('code of a value was run')
}

/** @param left How many values the graph may still get; more than are ever looked at. */
export function randomValue(
  random: () => number,
  depth = 0,
  seen: object[] = [],
  left = { values: 600 },
): unknown {
  left.values -= 1
  const pick = Math.floor(random() * (depth > 5 || left.values < 0 ? 14 : 28))
  const child = () => randomValue(random, depth + 1, seen, left)
  const many = () => Math.floor(random() * 5)
  switch (pick) {
    case 0:
      return String.fromCharCode(...Array.from({ length: many() * 20 }, () => random() * 65_536))
    case 1:
      return random() < 0.02 ? HUGE : 'a text with sk-ant-abcdefghijklmnopqrstuv and more'
    case 2:
      return (random() - 0.5) * 10 ** (random() * 600 - 300)
    case 3:
      return [null, undefined, true, Number.NaN, -0][many()]
    case 4:
      return BigInt(Math.floor(random() * 1e15)) ** BigInt(many() * 20)
    case 5:
      return Symbol('s')
    case 6:
      return () => boom()
    case 7:
      return new Uint8Array(Math.floor(random() * 1000))
    case 8:
      return new Date(random() < 0.5 ? Number.NaN : random() * 1e12)
    case 9:
      return Object.assign(new Error('message'), { cause: seen.at(-1) })
    case 10:
      return seen[Math.floor(random() * seen.length)]
    case 11:
      return new Proxy(depth % 2 ? {} : () => 0, { get: boom, ownKeys: boom, getPrototypeOf: boom })
    case 12:
      return Promise.resolve(1)
    case 13:
      return new URL('https://joe:secret@example.com/?token=abc')
    case 14:
      return keep(new Map(Array.from({ length: many() * 10 }, () => [child(), child()])), seen)
    case 15:
      return keep(new Set(Array.from({ length: many() * 10 }, child)), seen)
    case 16:
      return keep(
        Object.defineProperties(
          {},
          { a: { get: boom, enumerable: true }, toJSON: { value: boom } },
        ),
        seen,
      )
    case 17:
      return keep(Object.assign(Object.create(null), { x: child(), password: child() }), seen)
    case 18:
      return keep(
        new (class Strange {
          field = child()
          get [Symbol.toStringTag](): string {
            return boom()
          }
        })(),
        seen,
      )
    case 19: {
      const sparse: unknown[] = []
      sparse[Math.floor(random() * 1e6)] = child()
      Object.defineProperty(sparse, 0, { get: boom, enumerable: true })
      return keep(sparse, seen)
    }
    case 20:
      return keep(Object.create(new Proxy({}, { get: boom, getPrototypeOf: boom })), seen)
    case 21:
      return keep(Object.fromEntries(MANY), seen)
    case 22:
      return keep(
        Object.create(Object.defineProperty({}, 'constructor', { get: boom, enumerable: true })),
        seen,
      )
    case 23:
      return keep(Object.setPrototypeOf(new Date(), Map.prototype) as object, seen)
    default: {
      const object: Record<string, unknown> = {}
      keep(object, seen)
      for (let at = many() * 3; at >= 0; at -= 1) {
        const key = random() < 0.1 ? '__proto__' : `k${Math.floor(random() * 50)}`
        const value = child()
        Object.defineProperty(object, key, { value, enumerable: true, configurable: true })
      }
      return random() < 0.5 ? object : keep(Object.values(object), seen)
    }
  }
}

function keep<T extends object>(value: T, seen: object[]): T {
  if (seen.length < 50) seen.push(value)
  return value
}
