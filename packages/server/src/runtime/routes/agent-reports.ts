/** Agents that run elsewhere: signs of life, events, and messages between agents (contract §15, item 2). */
import { VestryError } from '@vestry/contract/errors'
import type { Taint } from '../../call/taint.ts'
import type { Agents } from '../agents/agents.ts'
import { invalidFields } from '../agents/definition.ts'
import { iso } from '../agents/execution.ts'
import { type Mailbox, MESSAGE_TYPES } from '../agents/mailbox.ts'
import type { ReportStore } from '../agents/report-store.ts'
import { REPORTED } from '../agents/state.ts'
import type { RuntimeRequest, RuntimeRoute } from '../wire/route.ts'
import { visible } from './agents.ts'

export interface AgentReportRouteDeps {
  readonly agents: Pick<Agents, 'named'>
  readonly reports: ReportStore
  readonly mailbox: Mailbox
  readonly taint: Pick<Taint, 'of' | 'add'>
  readonly heartbeatMs: number
  /** Epoch ms. */
  readonly now: () => number
}

const MAX_BODY_BYTES = 262_144
const MAX_REPORT_BYTES = 65_536
const MAX_TTL_SECONDS = 604_800
const DEFAULT_TTL_SECONDS = 300
const EVENTS = ['RunStarted', 'RunCompleted', 'RunFailed'] as const

export function agentReportRoutes(deps: AgentReportRouteDeps): RuntimeRoute[] {
  const { agents, reports, mailbox, taint, heartbeatMs, now } = deps
  return [
    {
      method: 'POST',
      path: 'agents/:id/heartbeat',
      access: 'key',
      maxBodyBytes: MAX_BODY_BYTES,
      handle: async (request) => {
        const agent = await visible(agents, request)
        const body = request.json()
        const state = oneOf(body, 'state', Object.keys(REPORTED))
        const metadata = optionalObject(body, 'metadata')
        const lastResult = optionalText(body, 'last_result', MAX_REPORT_BYTES)
        const report = { state, metadata, lastResult }
        if (Buffer.byteLength(JSON.stringify(report)) > MAX_REPORT_BYTES)
          throw new VestryError('BODY_TOO_LARGE')
        await reports.put(agent.id, report, 3 * heartbeatMs)
        return {
          body: {
            agent_id: agent.name,
            status: 'ok',
            timestamp: iso(now()),
            interval_seconds: heartbeatMs / 1_000,
          },
        }
      },
    },
    {
      method: 'POST',
      path: 'agents/:id/events',
      access: 'key',
      maxBodyBytes: MAX_BODY_BYTES,
      handle: async (request) => {
        const agent = await visible(agents, request)
        const body = request.json()
        const type = oneOf(body, 'event_type', EVENTS)
        const timestamp = iso(now())
        await reports.addEvent(agent.id, {
          event_type: type,
          payload: body['payload'] ?? null,
          timestamp,
        })
        return { body: { agent_id: agent.name, status: 'recorded', timestamp } }
      },
    },
    {
      method: 'GET',
      path: 'agents/:id/events',
      access: 'key',
      handle: async (request) => {
        const agent = await visible(agents, request)
        return { body: { events: await reports.events(agent.id) } }
      },
    },
    {
      method: 'POST',
      path: 'agents/:id/messages',
      access: 'key',
      maxBodyBytes: MAX_BODY_BYTES,
      handle: async (request) => {
        const recipient = await visible(agents, request)
        const body = request.json()
        const id = await mailbox.add(recipient.id, {
          sender: senderOf(request, body),
          recipient: recipient.name,
          topic: optionalText(body, 'topic', 256) ?? null,
          payload: requiredText(body, 'payload', MAX_BODY_BYTES),
          messageType:
            body['message_type'] === undefined || body['message_type'] === null
              ? 'direct'
              : oneOf(body, 'message_type', MESSAGE_TYPES),
          ttlSeconds: ttlOf(body['ttl_seconds']),
          labels: taint.of(request.caller.txn),
        })
        return { body: { message_id: id, status: 'pending' } }
      },
    },
    {
      method: 'GET',
      path: 'agents/:id/messages',
      access: 'key',
      takes: true,
      handle: async (request) => {
        const agent = await visible(agents, request)
        const messages = await mailbox.drain(agent.id)
        const labels = messages.flatMap((message) => message.labels ?? [])
        await taint.add(request.caller.txn, [...new Set(labels)])
        return {
          body: {
            messages: messages.map((message) => ({
              message_id: message.id,
              sender: message.sender,
              recipient: message.recipient,
              topic: message.topic,
              payload: message.payload,
              message_type: message.messageType,
              timestamp_secs: Math.floor(message.createdAt / 1_000),
              ttl_seconds: message.ttlSeconds,
            })),
          },
        }
      },
    },
    {
      method: 'GET',
      path: 'messages/:id/status',
      access: 'key',
      handle: async ({ params, scope }) => {
        const id = params['id'] ?? ''
        const found = await mailbox.status(id)
        if (found === undefined || (scope !== undefined && scope.agentId !== found.agentId))
          throw new VestryError('JOB_NOT_FOUND', 'There is no such message')
        return { body: { message_id: id, status: found.status } }
      },
    },
  ]
}

/** A key of one agent speaks for that agent only. @throws VestryError VALIDATION_ERROR */
function senderOf({ scope }: RuntimeRequest, body: Readonly<Record<string, unknown>>): string {
  const sender = requiredText(body, 'sender', 128)
  if (scope === undefined || scope.agentName === sender) return sender
  throw invalidFields([{ path: 'sender', problem: 'must be the agent whose key this is' }])
}

function ttlOf(value: unknown): number {
  if (value === undefined || value === null) return DEFAULT_TTL_SECONDS
  if (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_TTL_SECONDS)
    return Number(value)
  const problem = `must be a whole number from 1 to ${MAX_TTL_SECONDS}`
  throw invalidFields([{ path: 'ttl_seconds', problem }])
}

function oneOf<T extends string>(
  body: Readonly<Record<string, unknown>>,
  path: string,
  words: readonly T[],
): T {
  const found = words.find((word) => word === body[path])
  if (found !== undefined) return found
  throw invalidFields([{ path, problem: `must be one of ${words.join(', ')}` }])
}

function requiredText(
  body: Readonly<Record<string, unknown>>,
  path: string,
  maxBytes: number,
): string {
  const value = optionalText(body, path, maxBytes)
  if (value === undefined) throw invalidFields([{ path, problem: 'required' }])
  return value
}

function optionalText(
  body: Readonly<Record<string, unknown>>,
  path: string,
  maxBytes: number,
): string | undefined {
  const value = body[path]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string' || !value.isWellFormed())
    throw invalidFields([{ path, problem: 'must be well-formed text' }])
  if (Buffer.byteLength(value) > maxBytes)
    throw invalidFields([{ path, problem: `must be at most ${maxBytes} bytes` }])
  return value
}

function optionalObject(
  body: Readonly<Record<string, unknown>>,
  path: string,
): Readonly<Record<string, unknown>> | undefined {
  const value = body[path]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>
  throw invalidFields([{ path, problem: 'must be an object' }])
}
