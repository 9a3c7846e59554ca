/** Agent processes that operators start: what they need to be told of, and the record of their start and end. */
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'
import type { AuditEntry } from '../audit/record.ts'
import type { ClaimDesk } from '../identity/claims/claim-desk.ts'
import type { ClaimTermsStore } from '../identity/claims/claim-terms-store.ts'
import type { ExpectedUids } from '../identity/claims/expected-uids.ts'
import type { StartedProcesses } from '../identity/claims/started-processes.ts'
import { agentOf } from './claims.ts'
import { type AdminVerb, verb } from './verb.ts'

export interface ExecVerbDeps {
  readonly desk: Pick<ClaimDesk, 'issueToken'>
  readonly terms: Pick<ClaimTermsStore, 'of'>
  readonly expectedUids: ExpectedUids
  readonly started: StartedProcesses
  /** One line for the operator. */
  readonly warn: (line: string) => void
  /** Of the server, raw. */
  readonly publicKey: () => Uint8Array
}

const Uid = z.int().min(0).max(0xffff_fffe)
const Process = z.strictObject({
  agent: z.string().min(1).max(128),
  run: z.string().min(1).max(128).optional(),
  /** Name of the program; its arguments may hold what is nobody's business. */
  command: z.string().min(1).max(256),
  uid: Uid,
})

export function execVerbs(verbs: ExecVerbDeps): AdminVerb[] {
  const { desk, terms, expectedUids, started, publicKey, warn } = verbs
  return [
    verb({
      name: 'exec.begin',
      action: 'admin:write',
      event: 'exec.begin',
      params: Process,
      data: (params) => params,
      run: async ({ deps, params }) => {
        const agent = await agentOf(deps.vault.agents, params.agent)
        const { claim_policy: policy } = await terms.of(agent.id)
        const token = policy.require_token ? (await desk.issueToken(agent)).token : undefined
        if (!expectedUids.expect(agent.id, params.uid))
          throw new VestryError('RATE_LIMITED', 'too many agents are running')
        return {
          pod_public_key: Buffer.from(publicKey()).toString('hex'),
          ...(token !== undefined && { agent_token: token }),
        }
      },
    }),
    verb({
      name: 'exec.started',
      // Whoever may only read must not write what ran, and when it ended.
      action: 'admin:write',
      event: 'exec.started',
      params: Process.extend({ pid: z.int().min(1) }),
      run: async ({ deps, params, by, caller }) => {
        const { agents, stations } = deps.vault
        const agent = await agentOf(agents, params.agent)
        started.add(params.pid, caller.peer.pid, (ranMs) => {
          expectedUids.forget(agent.id, params.uid)
          const record = lostEnd(params, by, ranMs)
          stations.audit
            .append(record, 'written')
            .catch((error: Error) => warn(`the end of ${params.command}: ${error.message}`))
        })
        const detail = `${params.command} started as ${params.agent}`
        await stations.audit.append(
          { ...entry('start', detail, params, by), data: facts(params) },
          'synced',
        )
        return {}
      },
    }),
    verb({
      name: 'exec.ended',
      action: 'admin:write',
      event: 'exec.ended',
      params: Process.extend({
        /** Absent for one that was never started. */
        pid: z.int().min(1).optional(),
        exit_code: z.int().min(0).max(255).optional(),
        duration_ms: z.number().min(0),
      }),
      run: async ({ deps, params, by }) => {
        const { vault } = deps
        const agent = await vault.agents.byName(params.agent)
        if (agent !== undefined) expectedUids.forget(agent.id, params.uid)
        if (params.pid === undefined) return {}
        started.forget(params.pid)
        const detail = `${params.command} ended with ${params.exit_code ?? 'no exit code'}`
        const { exit_code, duration_ms } = params
        await vault.stations.audit.append(
          {
            ...entry('stop', detail, params, by),
            success: exit_code === 0,
            data: { ...facts(params), exit_code: exit_code ?? null, duration_ms },
          },
          'synced',
        )
        return {}
      },
    }),
  ]
}

/** Who started it was killed with it, so that how it ended is not known. */
function lostEnd(
  params: z.output<typeof Process> & { pid: number },
  by: string,
  ranMs: number,
): AuditEntry {
  return {
    ...entry('stop', `${params.command} is gone, its end was not told`, params, by),
    success: false,
    actor: 'system',
    data: { ...facts(params), exit_code: null, duration_ms: Math.round(ranMs) },
  }
}

function entry(
  action: 'start' | 'stop',
  detail: string,
  { agent, run, uid, pid }: z.output<typeof Process> & { pid?: number | undefined },
  by: string,
): AuditEntry {
  return {
    action,
    phase: 'single',
    detail: detail.toWellFormed(),
    success: true,
    actor: `operator:${by}`,
    source: 'pod',
    agent,
    uid,
    ...(pid !== undefined && { pid }),
    ...(run !== undefined && { txn: run }),
  }
}

function facts({ command, run }: z.output<typeof Process>): Record<string, unknown> {
  return { command, ...(run !== undefined && { run_id: run }) }
}
