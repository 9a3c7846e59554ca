/** Patterns of the settings. One that takes too long is not used again: it must not slow the agent. */
import { types } from 'node:util'
import { monotonicMs } from './intrinsics.ts'

export interface NamedPattern {
  readonly name: string
  readonly pattern: RegExp
}

const MOST_MILLISECONDS = 5

export class CustomPatterns {
  #active: NamedPattern[]
  #disabled = 0

  constructor(patterns: readonly NamedPattern[]) {
    const usable = patterns.filter(({ pattern }) => types.isRegExp(pattern))
    this.#active = usable.map(({ name, pattern }) => ({
      name:
        String(name)
          .replace(/[^\w-]/g, '_')
          .slice(0, 40) || 'custom',
      // A copy of our own: its place in the text is nobody else's.
      pattern: new RegExp(
        pattern.source,
        [...new Set(`${pattern.flags}g`)].join('').replace('y', ''),
      ),
    }))
  }

  get disabled(): number {
    return this.#disabled
  }

  redact(text: string): string {
    if (this.#active.length === 0) return text
    let clean = text
    for (const custom of this.#active) {
      const startedMs = monotonicMs()
      // A function, so that a dollar sign in a name means nothing.
      clean = clean.replace(custom.pattern, () => `[redacted:${custom.name}]`)
      if (monotonicMs() - startedMs > MOST_MILLISECONDS) this.#disable(custom)
    }
    return clean
  }

  #disable(custom: NamedPattern): void {
    this.#active = this.#active.filter((other) => other !== custom)
    this.#disabled += 1
  }
}
