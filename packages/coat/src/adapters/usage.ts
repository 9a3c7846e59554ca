/** Tokens as events tell them, from counts that an adapter read itself: where it can, it uses `recogniseUsage`. */
import type { Usage } from '../recognise/index.ts'
import { present } from './shapes.ts'

export type { Usage }

type Counts = { readonly [Name in keyof Usage]: number | undefined }

/** Nothing when neither side was counted; the total is made up where only the parts are known. */
export function usageOf(counted: Counts): Usage | undefined {
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
