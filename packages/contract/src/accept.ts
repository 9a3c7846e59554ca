import * as z from 'zod'
import { type ErrorCode, VestryError } from './errors.ts'

/** Typed data, or an error (INVALID_PARAMS unless told otherwise) that names the bad field. */
export function accept<S extends z.ZodType>(
  schema: S,
  data: unknown,
  code: ErrorCode = 'INVALID_PARAMS',
): z.output<S> {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new VestryError(code, describe(parsed.error), { cause: parsed.error })
}

/** What is wrong with one value, as it goes behind its name: `is required`, `expected number, received string`. */
export function issueText({ code, message }: Pick<z.core.$ZodIssue, 'code' | 'message'>): string {
  if (code === 'invalid_type' && message.endsWith('received undefined')) return 'is required'
  return message.replace(/^Invalid input: /, '')
}

/** One line: `hosts[0]: must not be empty; ttl: expected number`. */
function describe(error: z.ZodError): string {
  const lines = error.issues.map((issue) => {
    const path = z.core.toDotPath(issue.path)
    return path === '' ? issueText(issue) : `${path}: ${issueText(issue)}`
  })
  return lines.join('; ')
}
