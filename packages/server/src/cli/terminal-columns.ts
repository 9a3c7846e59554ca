/** How wide text may be. Pure. */
import type { OutputStream } from './terminal.ts'

const USUAL = 100
const NARROWEST = 40
const WIDEST = 240

/** The terminal's own width; where there is none, what the environment says of it. */
export function terminalColumns(stdout: OutputStream, env: NodeJS.ProcessEnv): number {
  const said = stdout.columns ?? Number.parseInt(env['COLUMNS'] ?? '', 10)
  return Number.isSafeInteger(said) ? Math.min(WIDEST, Math.max(NARROWEST, said)) : USUAL
}
