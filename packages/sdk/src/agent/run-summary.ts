/** `run.json` beside the report: how a run ended and what it used, for whoever started it. */
import { randomUUID } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OutputWriteError } from '../sage/errors.ts'
import { redactValue } from '../sage/redact.ts'
import type { AgentContext } from './context.ts'
import type { AgentResult } from './io.ts'

export const SUMMARY_FILE = 'run.json'

export interface RunFacts {
  context: AgentContext
  agent?: { readonly name: string; readonly version: string } | undefined
  code: number
  durationSeconds: number
  error?: string | undefined
  result?: AgentResult | undefined
  isPartial?: boolean
}

/** @throws OutputWriteError */
export async function writeRunSummary(facts: RunFacts): Promise<void> {
  const { context, agent, result } = facts
  const summary = {
    run_id: context.runId,
    org_id: context.orgId,
    agent: agent?.name,
    version: agent?.version,
    exit_code: facts.code,
    duration_seconds: facts.durationSeconds,
    error: facts.error ?? '',
    partial: facts.isPartial ?? false,
    usage: context.usage.entries(),
    metadata: result?.metadata ?? {},
  }
  const path = join(context.outputDir, SUMMARY_FILE)
  const draft = `${path}.${randomUUID()}.tmp`
  try {
    await mkdir(context.outputDir, { recursive: true })
    await writeFile(draft, `${JSON.stringify(redactValue(summary), undefined, 2)}\n`)
    await rename(draft, path)
  } catch (cause) {
    await rm(draft, { force: true }).catch(() => {})
    throw new OutputWriteError('The run summary could not be written', { cause })
  }
}
