/** The proof that a provider's vectors are what was asked for. */
import { malformed } from './fault.ts'

/** @throws ProviderFault unless there are `count` lists of numbers, all of one length. */
export function vectorsOf(given: readonly unknown[], count: number): number[][] {
  if (given.length !== count) throw malformed(`${given.length} embeddings for ${count} texts`)
  const vectors = given.map(vectorOf)
  const length = vectors[0]?.length ?? 0
  if (vectors.some((vector) => vector.length !== length)) {
    throw malformed('embeddings of different lengths')
  }
  return vectors
}

function vectorOf(value: unknown): number[] {
  const isVector = Array.isArray(value) && value.length > 0 && value.every(Number.isFinite)
  if (!isVector) throw malformed('an embedding that is not a list of numbers')
  return value
}
