/** What the two tokens of a run cost, in this process and on its clock, in microseconds. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LLM, RunWorld } from '../packages/server/src/identity/runs/runs.test-kit.ts'
import { openStore } from '../packages/server/src/store/store.ts'

const TOKENS = 1_000

export interface TokenCosts {
  readonly issue_both_p50_us: number
  readonly verify_both_first_p50_us: number
  readonly verify_both_again_p50_us: number
}

/** Both tokens of a run: signed, verified for the first time, and verified again. */
export async function tokenCosts(): Promise<TokenCosts> {
  const directory = mkdtempSync(join(tmpdir(), 'vestry-bench-tokens-'))
  const store = await openStore(`sqlite:${directory}/vestry.db`)
  try {
    using world = await RunWorld.open(store)
    const run = await world.run(await world.agent())
    const { scope, tctx, rctx } = run
    const took: Record<'issue' | 'first' | 'again', number[]> = { issue: [], first: [], again: [] }
    const timed = async <T>(list: number[], act: () => T | Promise<T>): Promise<T> => {
      const before = performance.now()
      const made = await act()
      list.push((performance.now() - before) * 1000)
      return made
    }
    for (let n = 0; n < TOKENS; n += 1) {
      world.nowMs += 1_000 // or they would be the same tokens as before
      const { svid, trat } = await timed(took.issue, () => ({
        svid: world.svids.issue(run.spiffeId, LLM, 1_800).token,
        trat: world.trats.issue(run, { scope, tctx, rctx, notAfterMs: run.expiresAt }).token,
      }))
      const headers = { authorization: [`Bearer ${svid}`], txnToken: [trat] }
      await timed(took.first, () => world.gate.verify(headers))
      await timed(took.again, () => world.gate.verify(headers))
    }
    return {
      issue_both_p50_us: middle(took.issue),
      verify_both_first_p50_us: middle(took.first),
      verify_both_again_p50_us: middle(took.again),
    }
  } finally {
    await store.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

function middle(values: number[]): number {
  return Math.round(values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0)
}
