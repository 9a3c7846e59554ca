/** The five exit codes of every command, and which error codes end in which. Pure. */

export const EXIT = { done: 0, failed: 1, usage: 2, denied: 3, unreachable: 4 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const BY_CODE: Readonly<Record<string, ExitCode>> = {
  USAGE: EXIT.usage,
  INVALID_PARAMS: EXIT.usage,
  ACCESS_DENIED: EXIT.denied,
  APPROVAL_REQUIRED: EXIT.denied,
  WIDER_PERMISSIONS: EXIT.denied,
  DAEMON_UNREACHABLE: EXIT.unreachable,
  CONNECTION_CLOSED: EXIT.unreachable,
}

/** @param code An error code, of ours or of a newer daemon. */
export function exitCodeFor(code: string): ExitCode {
  return Object.hasOwn(BY_CODE, code) ? (BY_CODE[code] ?? EXIT.failed) : EXIT.failed
}
