/** For tests of tools: a fixed context, and replies as egress hands them over. */
import { expect } from 'vitest'
import {
  InvalidToolParams,
  type JsonObject,
  type RequestContext,
  type Tool,
  type ToolAction,
  type UpstreamReply,
} from './tool.ts'

export const CONTEXT: RequestContext = {
  nowMs: Date.UTC(2030, 0, 1, 0, 0, 5),
  random: '00112233445566778899aabbccddeeff',
  correlationId: 'req_1893456000000_k3m9q2x7a',
  idempotencyKey: undefined,
}

export function actionOf(tool: Tool, name: string): ToolAction {
  const action = tool.actions.get(name)
  if (action === undefined) throw new Error(`${tool.name} has no action ${name}`)
  return action
}

export function reply(
  status: number,
  body: unknown,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): UpstreamReply {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const bytes = body instanceof Uint8Array ? body : Buffer.from(text)
  return { status, headers, body: bytes, url: 'https://target.example/final' }
}

/** What the tool says is wrong; fails if it takes the params. Nothing it says may be taken for a denial. */
export function problemsOf(action: ToolAction, params: unknown): readonly string[] {
  try {
    action.normalise(params as JsonObject)
  } catch (error) {
    if (!(error instanceof InvalidToolParams)) throw error
    expect(error.details.join()).not.toMatch(/policy|scope/i)
    return error.details
  }
  throw new Error('the params were taken')
}
