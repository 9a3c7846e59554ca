/**
 * An agent that tells what it does: it says once who it is, and wears a coat around each step. Environment:
 * VAULT_SOCKET, AGENT_KEY, API_URL, and ENVPOD_POD_ID, ENVPOD_SOCKET, ENVPOD_IDENTITY_SOCKET.
 */
import { connect } from 'node:net'
import { coat, current, flush, tie } from '@vestry/coat'
import { InPodClient } from '@vestry/sdk/pod'
import { SanctumClient } from '@vestry/sdk/vault'

const { VAULT_SOCKET = '', AGENT_KEY = '', API_URL = '', ENVPOD_SOCKET = '' } = process.env
const say = (what: string, result: unknown): void => console.log(JSON.stringify({ what, result }))

const vault = new SanctumClient('invoice-bot', { socketPath: VAULT_SOCKET, keyPath: AGENT_KEY })
await vault.connect()

const readInvoices = coat('tool', async function readInvoices(path: string) {
  const reply = await vault.httpRequest('billing/api_key', { url: `${API_URL}${path}` })
  tie('reply', { status: reply.status })
  return reply.status
})

const reconcile = coat('run', async function reconcile() {
  const status = await readInvoices('/invoices')
  return { status, trace: current()?.trace_id }
})

// The socket's other end learns from the kernel which process this is; closing it gives nothing back.
const pod = new InPodClient()
const claim = await pod.claim('invoice-bot', { ttlSecs: 600 })
await pod.close()

const { trace } = await reconcile()
await flush(2_000)
say('trace', trace)
say('claim', claim.claim_id)

// A line written by hand may say what it likes: it is stored under the name of the process that wrote it.
await new Promise<void>((resolve, reject) => {
  const socket = connect(ENVPOD_SOCKET, () => {
    socket.end(
      `${JSON.stringify({
        spec: 'aotp/0.1',
        kind: 'agent.tool.call',
        ts: new Date().toISOString(),
        ids: {
          session_id: '',
          run_id: '',
          step_id: '',
          trace_id: 'tr_f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0',
          span_id: 'sp_f0f0f0f0f0f0f0f0',
          parent_span_id: '',
        },
        subject: {
          agent_id: 'chief-accountant',
          agent_role: 'owner',
          framework: 'by-hand',
          framework_version: '1',
        },
        capture: { mode: 'none' },
        payload: { fn: 'payEverybody', op: 'tool', tool: { name: 'payEverybody' } },
        envpod: { claim_kind: 'claimed', agent_claim_id: 'jti_forged' },
      })}\n`,
    )
  })
  socket.resume().once('close', () => resolve())
  socket.once('error', reject)
})
say('forged', 'tr_f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0')
await vault.close()
