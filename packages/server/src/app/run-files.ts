/**
 * What a run finds on disk: its tokens, replaced whole so that nobody ever reads half of one, and its directories.
 * Everything is the daemon's own and inside its home.
 */
import { hash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Run } from '../identity/runs/run.ts'
import type { Home } from './home.ts'

export interface RunPaths {
  readonly dir: string
  readonly svid: string
  readonly trat: string
  readonly work: string
  readonly output: string
  readonly socket: string
}

export function runPaths(home: Home, runId: string): RunPaths {
  const dir = join(home.runs, runId)
  return {
    dir,
    svid: join(dir, 'svid.jwt'),
    trat: join(dir, 'trat.jwt'),
    work: join(dir, 'work'),
    output: join(dir, 'output'),
    socket: join(home.sidecars, `${hash('sha256', runId).slice(0, 8)}.sock`),
  }
}

/** Everything a process of this run needs to know (sage contract §3). */
export function runEnvironment(home: Home, run: Run, llmSocket: string): Record<string, string> {
  const paths = runPaths(home, run.id)
  return {
    RUN_ID: run.id,
    ORG_ID: run.tctx.org_id,
    WORK_DIR: paths.work,
    OUTPUT_PATH: paths.output,
    SPIFFE_JWT_PATH: paths.svid,
    TRAT_FILE: paths.trat,
    AUTH_SIDECAR_SOCKET: paths.socket,
    LLM_GATEWAY_SOCKET: llmSocket,
    ...(run.tctx.repo_url !== '' && { REPO_URL: run.tctx.repo_url }),
    ...(run.repoRef !== '' && { REPO_REF: run.repoRef }),
  }
}

export function makeRunDirectories({ work, output }: RunPaths): void {
  for (const path of [work, output]) mkdirSync(path, { recursive: true, mode: 0o700 })
}

/** Directories of runs, whatever became of the runs. */
export function runsOnDisk(home: Home): string[] {
  return existsSync(home.runs) ? readdirSync(home.runs) : []
}

export function removeTokens({ svid, trat }: RunPaths): void {
  for (const path of [svid, trat]) rmSync(path, { recursive: true, force: true })
}

/** Under another name first: whoever opens the file finds the old content or the new one. */
export function replaceFile(path: string, text: string): void {
  const next = `${path}.next`
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  // What a crash left behind, or a link that somebody put there: never written through.
  rmSync(next, { recursive: true, force: true })
  writeFileSync(next, text, { mode: 0o600, flag: 'wx' })
  renameSync(next, path)
}
