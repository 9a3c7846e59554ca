/**
 * Tokens as providers report them, in one form. `input` includes what was read from a cache or written
 * to one, `output` includes reasoning: where a provider counts them apart they are added.
 */
import { anyField, field, isRecord, numberIn } from './reading.ts'

export interface Usage {
  readonly input?: number
  readonly output?: number
  readonly total?: number
  readonly cache_read?: number
  readonly cache_write?: number
  readonly reasoning?: number
  readonly audio_in?: number
  readonly audio_out?: number
}

type Counts = { -readonly [Name in keyof Usage]: number | undefined }

/** @returns Nothing when there is no count in it. */
export function recogniseUsage(usage: unknown): Usage | undefined {
  if (!isRecord(usage)) return undefined
  for (const read of [google, vercel, anthropic, langchain, openai, plain]) {
    const counts = read(usage)
    if (counts !== undefined) return complete(counts)
  }
  return undefined
}

function complete(counts: Counts): Usage | undefined {
  const { input, output } = counts
  if (input === undefined && output === undefined && counts.total === undefined) return undefined
  const total = counts.total ?? (input ?? 0) + (output ?? 0)
  const found: Record<string, number> = {}
  for (const [name, count] of Object.entries({ ...counts, total }))
    if (count !== undefined && count >= 0) found[name] = count
  return found
}

function count(value: unknown, ...names: readonly string[]): number | undefined {
  return numberIn(anyField(value, ...names))
}

function sum(...counts: readonly (number | undefined)[]): number | undefined {
  const known = counts.filter((one) => one !== undefined)
  return known.length === 0 ? undefined : known.reduce((total, one) => total + one, 0)
}

/** Thoughts and the results of tools are counted beside the answer and the prompt. */
function google(usage: object): Counts | undefined {
  const prompt = count(usage, 'promptTokenCount')
  if (prompt === undefined && count(usage, 'totalTokenCount') === undefined) return undefined
  const thoughts = count(usage, 'thoughtsTokenCount')
  return {
    input: sum(prompt, count(usage, 'toolUsePromptTokenCount')),
    output: sum(count(usage, 'candidatesTokenCount'), thoughts),
    total: count(usage, 'totalTokenCount'),
    cache_read: count(usage, 'cachedContentTokenCount'),
    reasoning: thoughts,
  }
}

/** Both forms: counts side by side, and, since the third specification of providers, in parts. */
function vercel(usage: object): Counts | undefined {
  const input = field(usage, 'inputTokens')
  const output = field(usage, 'outputTokens')
  if (isRecord(input) || isRecord(output)) {
    return {
      input: count(input, 'total'),
      output: count(output, 'total'),
      total: count(usage, 'totalTokens'),
      cache_read: count(input, 'cacheRead'),
      cache_write: count(input, 'cacheWrite'),
      reasoning: count(output, 'reasoning'),
    }
  }
  if (numberIn(input) === undefined && numberIn(output) === undefined) return undefined
  return {
    input: numberIn(input),
    output: numberIn(output),
    total: count(usage, 'totalTokens'),
    cache_read: count(usage, 'cachedInputTokens'),
    reasoning: count(usage, 'reasoningTokens'),
  }
}

/** Here `input_tokens` leaves out what was cached. */
function anthropic(usage: object): Counts | undefined {
  const read = count(usage, 'cache_read_input_tokens')
  const written = count(usage, 'cache_creation_input_tokens')
  if (read === undefined && written === undefined) return undefined
  return {
    input: sum(count(usage, 'input_tokens'), read, written),
    output: count(usage, 'output_tokens'),
    total: undefined,
    cache_read: read,
    cache_write: written,
  }
}

function langchain(usage: object): Counts | undefined {
  const inputs = field(usage, 'input_token_details')
  const outputs = field(usage, 'output_token_details')
  if (!isRecord(inputs) && !isRecord(outputs)) return undefined
  return {
    input: count(usage, 'input_tokens'),
    output: count(usage, 'output_tokens'),
    total: count(usage, 'total_tokens'),
    cache_read: count(inputs, 'cache_read'),
    cache_write: count(inputs, 'cache_creation'),
    reasoning: count(outputs, 'reasoning'),
    audio_in: count(inputs, 'audio'),
    audio_out: count(outputs, 'audio'),
  }
}

/** Chat completions, responses and embeddings; `input_tokens` includes what was cached. */
function openai(usage: object): Counts | undefined {
  const inputs = anyField(usage, 'prompt_tokens_details', 'input_tokens_details')
  const outputs = anyField(usage, 'completion_tokens_details', 'output_tokens_details')
  const input = count(usage, 'prompt_tokens', 'input_tokens')
  const output = count(usage, 'completion_tokens', 'output_tokens')
  if (input === undefined && output === undefined) return undefined
  return {
    input,
    output,
    total: count(usage, 'total_tokens'),
    cache_read: count(inputs, 'cached_tokens'),
    reasoning: count(outputs, 'reasoning_tokens'),
    audio_in: count(inputs, 'audio_tokens'),
    audio_out: count(outputs, 'audio_tokens'),
  }
}

/** As some clients name them, and embeddings of one number. */
function plain(usage: object): Counts | undefined {
  const input = count(usage, 'promptTokens', 'tokens')
  const output = count(usage, 'completionTokens')
  if (input === undefined && output === undefined) return undefined
  return { input, output, total: count(usage, 'totalTokens') }
}
