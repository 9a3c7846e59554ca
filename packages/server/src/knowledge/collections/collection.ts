/** Collections of vectors that clients make themselves: shapes, bounds and distances. Pure. */
import { issueText } from '@vestry/contract/accept'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { VectorDistance } from '@vestry/contract/runtime'
import * as z from 'zod'

export const MAX_COLLECTIONS = 256
export const MAX_POINTS = 100_000
export const MAX_UPSERT = 1_000
const MAX_SIZE = 8_192
const MAX_PAYLOAD_BYTES = 65_536
const MAX_NAMED = 16
const MAX_CONFIG_BYTES = 16_384

export type PointId = string | number

export interface Collection {
  readonly name: string
  readonly size: number
  readonly distance: VectorDistance
  /** As it was asked for; it changes nothing here. */
  readonly more: Readonly<Record<string, unknown>>
}

/** A point has one vector, or several with names; the name of one alone is empty. */
export interface Point {
  readonly id: PointId
  readonly vectors: ReadonlyMap<string, Float32Array>
  readonly payload: Readonly<Record<string, unknown>>
}

const Name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/, 'must be a name')
const Id = z.union([z.string().min(1).max(128), z.int().min(0)])
const json = (maxBytes: number) =>
  z
    .record(z.string(), z.unknown())
    .refine(
      (value) => Buffer.byteLength(JSON.stringify(value)) <= maxBytes,
      `takes at most ${maxBytes} bytes`,
    )
const Numbers = z.array(z.number()).min(1).max(MAX_SIZE)
const Create = z.object({
  name: Name,
  vector_size: z.int().min(1).max(MAX_SIZE),
  distance: z.enum(VectorDistance).default('Cosine'),
  on_disk_payload: z.boolean().default(false),
  hnsw_config: json(MAX_CONFIG_BYTES).optional(),
  optimizers_config: json(MAX_CONFIG_BYTES).optional(),
})
const Upsert = z.object({
  collection_name: Name,
  points: z
    .array(
      z.object({
        id: Id,
        vector: z.union([
          Numbers,
          z
            .record(z.string().min(1).max(64), Numbers)
            .refine(
              (named) => Object.keys(named).length <= MAX_NAMED,
              `has at most ${MAX_NAMED} names`,
            ),
        ]),
        payload: z.preprocess((value) => value ?? {}, json(MAX_PAYLOAD_BYTES)),
      }),
    )
    .min(1)
    .max(MAX_UPSERT),
  wait: z.boolean().default(true),
})
const Search = z.object({
  collection_name: Name,
  vector: Numbers,
  using: z.string().max(64).default(''),
  filter: json(MAX_CONFIG_BYTES).default({}),
  limit: z.int().min(1).max(1_000).default(10),
  score_threshold: z.number().optional(),
})
const Ids = z.object({ collection_name: Name, ids: z.array(Id).min(1).max(MAX_UPSERT) })

/** @throws VestryError VALIDATION_ERROR, as all of these. */
export const readCreate = (body: unknown) => read(Create, body)
export const readUpsert = (body: unknown) => read(Upsert, body)
export const readPointSearch = (body: unknown) => read(Search, body)
export const readIds = (body: unknown) => read(Ids, body)

/** @throws VestryError DIMENSION_MISMATCH, VALIDATION_ERROR for a number that 32 bits cannot hold. */
export function vectorFrom(
  numbers: readonly number[],
  { size, distance }: Collection,
): Float32Array {
  if (numbers.length !== size)
    throw new VestryError(
      'DIMENSION_MISMATCH',
      `The collection has vectors of ${size} numbers, this one has ${numbers.length}`,
    )
  const vector = Float32Array.from(numbers)
  if (!vector.every(Number.isFinite))
    throw new VestryError('VALIDATION_ERROR', 'vector: its numbers must be finite in 32 bits')
  if (distance !== 'Cosine') return vector
  const length = Math.hypot(...chunked(vector))
  return length === 0 ? vector : vector.map((one) => one / length)
}

/** Greater is nearer for Cosine and Dot; for Euclidean it is the distance, and smaller is nearer. */
export function scoreOf(distance: VectorDistance, a: Float32Array, b: Float32Array): number {
  let sum = 0
  if (distance === 'Euclidean') {
    for (let at = 0; at < a.length; at += 1) sum += ((a[at] as number) - (b[at] as number)) ** 2
    return Math.sqrt(sum)
  }
  for (let at = 0; at < a.length; at += 1) sum += (a[at] as number) * (b[at] as number)
  return sum
}

export function isNearer(distance: VectorDistance, one: number, other: number): boolean {
  return distance === 'Euclidean' ? one < other : one > other
}

/** Members of the payload that must be equal. */
export function fits(
  payload: Readonly<Record<string, unknown>>,
  filter: Readonly<Record<string, unknown>>,
): boolean {
  return Object.entries(filter).every(
    ([name, value]) =>
      Object.hasOwn(payload, name) && canonicalJson(payload[name]) === canonicalJson(value),
  )
}

/** Names and float32 numbers, little endian. */
export function packVectors(vectors: Point['vectors']): Uint8Array {
  const head = Buffer.from(JSON.stringify([...vectors.keys()]))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(head.length)
  const bodies = [...vectors.values()].map((one) =>
    Buffer.from(one.buffer, one.byteOffset, one.byteLength),
  )
  return Buffer.concat([length, head, ...bodies])
}

export function unpackVectors(bytes: Uint8Array, size: number): Map<string, Float32Array> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const start = 4 + buffer.readUInt32LE(0)
  const names = JSON.parse(buffer.toString('utf8', 4, start)) as string[] // as we packed them
  const vectors = new Map<string, Float32Array>()
  for (const [index, name] of names.entries()) {
    const at = start + index * size * 4
    // A copy is aligned, whatever the driver gave.
    vectors.set(name, new Float32Array(Uint8Array.from(buffer.subarray(at, at + size * 4)).buffer))
  }
  return vectors
}

export function unknownCollection(name: string): VestryError {
  return new VestryError('COLLECTION_NOT_FOUND', `Collection ${name.slice(0, 64)} does not exist`)
}

/** A call takes only so many arguments. */
function chunked(vector: Float32Array): number[] {
  const sums: number[] = []
  for (let at = 0; at < vector.length; at += 1_024)
    sums.push(Math.hypot(...vector.subarray(at, at + 1_024)))
  return sums
}

function read<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const given =
    typeof body === 'object' && body !== null && !Array.isArray(body)
      ? Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
      : body
  const parsed = schema.safeParse(given)
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.slice(0, 20).map((issue) => ({
    path: z.core.toDotPath(issue.path),
    problem: issueText(issue) === 'is required' ? 'required' : issueText(issue),
  }))
  const told = fields.map(({ path, problem }) => `${path}: ${problem}`).join('; ')
  throw new VestryError('VALIDATION_ERROR', told, { context: { details: { fields } } })
}
