/** The gate of an embeddings request. */
import type { EmbeddingsRequest } from './chat-types.ts'
import {
  integer,
  invalid,
  list,
  object,
  onlyMembers,
  optional,
  text,
  unsupported,
} from './check.ts'
import { modelName } from './check-chat.ts'

const MOST_INPUTS = 10_000
const MOST_DIMENSIONS = 65_536
const MEMBERS = new Set(['model', 'input', 'dimensions', 'encoding_format', 'user'])

/**
 * @param body The parsed body of an embeddings request.
 * @throws ProviderFault `unsupported_parameter` naming a member that is not taken, else `invalid_request`.
 */
export function checkEmbeddings(body: unknown): EmbeddingsRequest {
  const given = object(body, 'body')
  onlyMembers(given, '', MEMBERS)
  return {
    model: modelName(given['model'], 'model'),
    input: inputOf(given['input']),
    ...optional(given, 'dimensions', (value, at) => integer(value, at, 1, MOST_DIMENSIONS)),
    ...optional(given, 'encoding_format', floats),
    ...optional(given, 'user', text),
  }
}

function inputOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [filledInput(value, 'input')]
  if (!Array.isArray(value)) throw invalid('input', 'must be a text or a list of texts')
  if (value.length === 0) throw invalid('input', 'must not be empty')
  return list(value, 'input', MOST_INPUTS).map((entry, at) => filledInput(entry, `input[${at}]`))
}

/** Spaces are a text; providers refuse only the empty one. */
function filledInput(value: unknown, place: string): string {
  if (text(value, place) === '') throw invalid(place, 'must not be empty')
  return value as string
}

function floats(value: unknown, place: string): 'float' {
  if (text(value, place) === 'float') return 'float'
  throw unsupported(place, 'must be "float"')
}
