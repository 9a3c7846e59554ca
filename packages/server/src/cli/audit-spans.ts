/** `vestry audit --group-by-span`: the record by traces of agents. */
import { type Row, rowsOf } from './cell.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { glyphsFor } from './glyphs.ts'
import { askWhole } from './whole-reply.ts'

export interface SpansOptions {
  readonly trace?: string
  readonly agent?: string
  readonly anonymous?: boolean
  readonly since?: number
  readonly until?: number
  /** False with `--no-kernel`. */
  readonly kernel?: boolean
  readonly limit?: number
}

/** Ends in failure when events were lost and nobody said so. */
export async function printSpans(
  io: CommandIo,
  pod: string | undefined,
  options: SpansOptions,
): Promise<void> {
  const { trace, agent, anonymous, since, until, limit, kernel } = options
  const params = { pod, trace, agent, anonymous, since, until, limit, effects: kernel !== false }
  const reply = await askWhole(io, 'audit.spans', params)
  const { spansText } = await import('./audit-spans-text.ts')
  io.print(reply, (paint) => spansText(reply, paint, glyphsFor(io.env)))
  if (reply['truncated'] === true)
    io.warn('only the newest records were read; say --since, --until or --limit for others')
  const lost = rowsOf(reply, 'producers').reduce((sum, one) => sum + unexplained(one), 0)
  if (lost === 0) return
  io.exitCode = EXIT.failed
  io.warn(`${lost} events of agents are missing, and no producer reported to have dropped them`)
}

function unexplained({ unexplained: count }: Row): number {
  return typeof count === 'number' ? count : 0
}
