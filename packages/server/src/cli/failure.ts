/** Any error as the command line shows it: `CODE: message → hint`, or one object with `--json`. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { isRow } from './cell.ts'
import { safeText } from './terminal-text.ts'

export interface Failure {
  readonly code: string
  readonly message: string
  readonly hint: string | null
  readonly context: Readonly<Record<string, unknown>>
}

export function failureOf(error: unknown): Failure {
  if (error instanceof VestryError) {
    const { code, message, hint, context } = error
    return { code, message, hint: hint ?? null, context }
  }
  return vaultFailure(error) ?? unnamedFailure(error)
}

export function failureLine({ code, message, hint }: Failure): string {
  const tail = hint === null ? '' : ` → ${oneLine(hint)}`
  return `${safeText(code)}: ${oneLine(message)}${tail}\n`
}

/** Several complaints come on a line each. */
function oneLine(text: string): string {
  return text.split('\n').map(safeText).join('; ')
}

/** What the daemon answered, told by its members so that the client library need not be loaded. */
function vaultFailure(error: unknown): Failure | undefined {
  if (!(error instanceof Error) || !('detail' in error) || !('suggestion' in error))
    return undefined
  const { detail, suggestion, message } = error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'UNKNOWN'
  return {
    code,
    message: typeof detail === 'string' ? detail : message,
    hint: typeof suggestion === 'string' ? suggestion : null,
    context: 'context' in error && isRow(error.context) ? error.context : {},
  }
}

/** A failure of this process: files, descriptors, the unforeseen. */
function unnamedFailure(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error)
  return { code: 'INTERNAL_ERROR', message, hint: null, context: {} }
}
