/** A run that takes longer than an answer may, with the real time for an answer. */
import { Client } from '@vestry/sdk/runtime'
import { expect, test } from 'vitest'
import { startTestDaemon } from '../harness/daemon.ts'
import { RuntimeNode } from './node.ts'

test('runtime §20.26: a long run is answered with 202 within 25 seconds, goes on, and completes', async () => {
  const at = await startTestDaemon()
  try {
    const node = new RuntimeNode(at.daemon.ready)
    const baseUrl = `${node.url}/api/v1`
    const client = new Client({ apiKey: node.adminKey, baseUrl, envFile: false })
    const steps = [
      { id: 'rest', kind: 'delay', with: { seconds: 26 } },
      { id: 'done', kind: 'transform', with: { expression: '6 * 7' }, needs: ['rest'] },
    ]
    const outputs = { answer: 'steps.done.output' }
    await client.createWorkflowDefinition({
      id: 'slow',
      version: '1',
      parameters: {},
      steps,
      outputs,
    })
    const body = { workflow_id: 'slow', parameters: {} }
    const { status, json } = await node.ask('POST', 'workflows', { body })
    expect(status).toBe(202)
    expect(json).toMatchObject({ status: 'running', result: null })
    const ended = await client.waitForWorkflow(json.execution_id, { intervalSeconds: 0.2 })
    expect(ended).toMatchObject({ status: 'completed', result: { answer: 42 } })
  } finally {
    await at.stop()
  }
}, 60_000)
