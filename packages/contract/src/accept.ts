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

/** One line: `hosts[0]: must not be empty; ttl: expected number`. */
function describe(error: z.ZodError): string {
  const lines = error.issues.map((issue) => {
    const path = z.core.toDotPath(issue.path)
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })
  return lines.join('; ')
}
