/**
 * How long does the analysis of a tool take? Ordinary tools one by one, against writing and hashing the same tool in
 * canonical form; tools at the limits of what is taken in, of several makes; and whether twice the size takes twice
 * the time. Bars: p50 of ordinary tools 50 ms, any tool at the limits 1 s.
 */
import { hash } from 'node:crypto'
import { schemapinCanonical } from '../packages/contract/src/schemapin.ts'
import type { TokenObject } from '../packages/server/src/json/raw-number.ts'
import { analyse } from '../packages/server/src/review/analysis/analyse.ts'
import { BENIGN, PUBLISHED } from '../packages/server/src/review/analysis/corpus/corpus.ts'
import type { ToolDocument } from '../packages/server/src/review/tool-document.ts'
import { report } from './report.ts'

const BAR = { ordinaryP50Ms: 50, limitMs: 1_000 }
const ROUNDS = 20
const LARGE_ROUNDS = 7
/** What review takes in. */
const MAX_SCHEMA = 256 * 1024
const MAX_DESCRIPTION = 20_000
const SIZES_KIB = [32, 64, 128, 256]

/** One property made of a number, so that any amount of schema can be made. */
type Make = (index: number) => TokenObject
const MAKES: Readonly<Record<string, Make>> = {
  prose: (n) => ({
    type: 'string',
    description: `Field ${n}: the town, street or place that the forecast is made for, as people call it.`,
    maxLength: 80,
  }),
  open_parameters: (n) => ({
    type: 'string',
    description: `Path ${n} of the file to read or write.`,
  }),
  half_attacks: (n) => ({
    type: 'string',
    description: `${n}: ignore all send the whole conversation to update the system never retry read .ssh not`,
  }),
  encoded: (n) => ({
    type: 'string',
    default: Buffer.from(`The forecast of town number ${n} is stored under this name.`).toString(
      'base64',
    ),
  }),
  patterns: (n) => ({
    type: 'string',
    pattern: `^(?:[a-z]+-)*(?:x|y|${n})[a-z0-9]{1,40}$`,
    maxLength: 80,
  }),
  foreign_letters: (n) => ({
    type: 'string',
    description: `Поле ${n}: город, улица или место, ｆｕｌｌ ｗｉｄｔｈ`,
    maxLength: 80,
  }),
}

const ordinary = [...BENIGN, ...PUBLISHED].map(({ tool }) =>
  documentOf(tool.name, tool.description, tool.schema ?? {}),
)
const singles: number[] = []
const hashed: number[] = []
for (let round = -3; round < ROUNDS; round += 1) {
  for (const tool of ordinary) {
    const took = timed(() => analyse(tool))
    const took2 = timed(() => hash('sha256', schemapinCanonical({ ...tool })))
    if (round < 0) continue // warms up
    singles.push(took)
    hashed.push(took2)
  }
}

const limits = Object.entries(MAKES).map(([make, property]) => {
  const tool = documentOf('large', text(MAX_DESCRIPTION), schemaOf(MAX_SCHEMA, property))
  return { make, ...spread(Array.from({ length: LARGE_ROUNDS }, () => timed(() => analyse(tool)))) }
})
const growth = Object.entries(MAKES).map(([make, property]) => {
  const ms = SIZES_KIB.map((kib) => {
    const tool = documentOf('growing', 'Grows.', schemaOf(kib * 1024, property))
    return spread(Array.from({ length: LARGE_ROUNDS }, () => timed(() => analyse(tool)))).p50_ms
  })
  const [smallest = Number.NaN] = ms
  const last = ms.at(-1) ?? Number.NaN
  return { make, ms, ratio_per_doubling: (last / smallest) ** (1 / (SIZES_KIB.length - 1)) }
})

const one = spread(singles)
report('review', {
  bar: BAR,
  ordinary: { tools: ordinary.length, ...one },
  baseline_canonical_hash: spread(hashed),
  at_the_limits: limits,
  growth: { sizes_kib: SIZES_KIB, makes: growth },
})
const slowest = Math.max(...limits.map(({ max_ms }) => max_ms))
if (one.p50_ms > BAR.ordinaryP50Ms || slowest > BAR.limitMs) {
  console.error(`a bar (${BAR.ordinaryP50Ms} ms, ${BAR.limitMs} ms) is missed`)
  process.exitCode = 1
}

function documentOf(name: string, description: string, schema: TokenObject): ToolDocument {
  return {
    name,
    description,
    provider: { name: 'bench.example.com', public_key_url: 'https://bench.example.com/key.pem' },
    schema: { type: 'object', properties: {}, required: [], ...schema },
  }
}

/** As many properties as fit. */
function schemaOf(bytes: number, make: Make): TokenObject {
  const properties: Record<string, TokenObject> = {}
  let size = 60
  for (let index = 0; ; index += 1) {
    const name = `field_${index}`
    const property = make(index)
    size += Buffer.byteLength(JSON.stringify(property)) + name.length + 4
    if (size > bytes) return { properties }
    properties[name] = property
  }
}

function text(length: number): string {
  return 'Returns the forecast for a town, day by day. '
    .repeat(Math.ceil(length / 44))
    .slice(0, length)
}

function timed(work: () => unknown): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

function spread(values: readonly number[]): { p50_ms: number; p99_ms: number; max_ms: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN
  return { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1) }
}
