/** The tools that a program may name: in its attributes, or as capabilities where the dialect has no attributes. */
import type { ProgramDefinition } from '../../dsl/definition.ts'

export function listedTools({
  attributes,
  metadata,
  capabilities,
}: Pick<ProgramDefinition, 'attributes' | 'metadata' | 'capabilities'>): readonly string[] {
  const named = [attributes['tools'], metadata['allowed_tools']].find(Array.isArray) ?? []
  const texts = named.filter((one: unknown): one is string => typeof one === 'string')
  return [...new Set([...texts, ...capabilities])]
}
