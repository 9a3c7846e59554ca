/** Which user an agent process runs as. Pure. */
import { hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'

/** Above what distributions, containers and service managers hand out, below what old programs take for negative. */
const FIRST = 1_900_000_000
const COUNT = 200_000_000

/**
 * Root gives each run a user that nothing else has; anybody else can only be himself.
 *
 * @param own Of this process. @param of What the uid belongs to: a run, else an agent.
 * @returns undefined for the uid of this process.
 * @throws VestryError USAGE
 */
export function agentUid(own: number, of: string, given: number | undefined): number | undefined {
  if (own !== 0) {
    if (given === undefined || given === own) return undefined
    throw new VestryError('USAGE', `--uid ${given}: only root starts processes of another user`, {
      hint: 'Leave --uid out, and the agent runs as you',
    })
  }
  if (given === 0) {
    throw new VestryError('USAGE', '--uid 0: an agent never runs as root', {
      hint: 'Leave --uid out, and it gets a uid of its own',
    })
  }
  return given ?? FIRST + (Number.parseInt(hash('sha256', of).slice(0, 12), 16) % COUNT)
}
