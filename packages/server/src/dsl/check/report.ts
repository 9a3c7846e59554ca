/** What checks of one source share: where they report, and what they may ask. */
import type { Expression, Property, Span } from '../ast.ts'
import type { Diagnostic, DiagnosticCode } from '../diagnostic.ts'

export interface CheckOptions {
  /** The agent that is asked for; without it any will do. */
  readonly agentName?: string
  /** Whether there is a tool, or an agent, of this name; offline nobody knows. */
  readonly tools?: (name: string) => boolean
  readonly agents?: (name: string) => boolean
  /** Whether the name belongs to an agent that was made without a source. */
  readonly registered?: (name: string) => boolean
}

export class Checker {
  readonly options: CheckOptions
  readonly #report: (found: Diagnostic) => void

  constructor(options: CheckOptions, report: (found: Diagnostic) => void) {
    this.options = options
    this.#report = report
  }

  add(
    code: DiagnosticCode,
    { span }: { readonly span: Span },
    message: string,
    hint?: string,
  ): void {
    const severity = code.startsWith('W_') ? 'warning' : 'error'
    this.#report({ severity, code, message, span, ...(hint !== undefined && { hint }) })
  }
}

/** The value of the last property of this name, and where it stands. */
export function propertyNamed(list: readonly Property[], name: string): Property | undefined {
  return list.find((one) => one.name.text === name)
}

/** The text of a string or a bare name. */
export function textOf(value: Expression | undefined): string | undefined {
  if (value?.kind === 'string') return value.value
  return value?.kind === 'name' ? value.text : undefined
}

export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}

export function noDuplicates(
  checker: Checker,
  names: readonly { readonly text: string; readonly span: Span }[],
  what: string,
): void {
  const seen = new Map<string, Span>()
  for (const name of names) {
    const first = seen.get(name.text)
    if (first === undefined) seen.set(name.text, name.span)
    else {
      const hint = `The first one is in line ${first.start.line}.`
      checker.add('E_DUPLICATE', name, `${what} ${quoted(name.text)} is written twice`, hint)
    }
  }
}
