/** Tokens as events tell them: `input` includes what came from a cache or went into one. */
import { present } from './shapes.ts'

export interface Usage {
  readonly input?: number | undefined
  readonly output?: number | undefined
  readonly total?: number | undefined
  readonly cache_read?: number | undefined
  readonly cache_write?: number | undefined
  readonly reasoning?: number | undefined
  readonly audio_in?: number | undefined
  readonly audio_out?: number | undefined
}

/** Nothing when neither side was counted; the total is made up where only the parts are known. */
export function usageOf(counted: Usage): Usage | undefined {
  if (counted.input === undefined && counted.output === undefined) return undefined
  const total = counted.total ?? (counted.input ?? 0) + (counted.output ?? 0)
  return present({ ...counted, total })
}

/** What a run used altogether. */
export class Totals {
  llm = 0
  tools = 0
  inputTokens = 0
  outputTokens = 0

  add(usage: Usage | undefined): void {
    this.inputTokens += usage?.input ?? 0
    this.outputTokens += usage?.output ?? 0
  }

  payload(): Record<string, number> {
    return {
      llm: this.llm,
      tools: this.tools,
      input_tokens: this.inputTokens,
      output_tokens: this.outputTokens,
    }
  }
}
