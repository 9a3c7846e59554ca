/** `gmail_send`: e-mail through Gmail (wire contract §11.5). */
import { hash } from 'node:crypto'
import { type BuiltinOptions, baseUrlOf, builtinTool, MAX_RESPONSE_BYTES } from './builtin.ts'
import { normaliseSend, rawMessage, SEND, sendFacts } from './gmail-message.ts'
import { characters, plainParams } from './params.ts'
import { isJsonObject } from './plain-json.ts'
import { assertSuccess, parsedJson, providerJson } from './reply-json.ts'
import type { Json, JsonObject, RequestContext, Tool, ToolAction, UpstreamReply } from './tool.ts'

const PROFILE = { type: 'object', properties: {}, additionalProperties: false } satisfies JsonObject

export function gmailSend(options: BuiltinOptions = {}): Tool {
  const baseUrl = baseUrlOf(options.baseUrl, 'https://gmail.googleapis.com/gmail/v1')
  const maxResponseBytes = options.maxResponseBytes ?? MAX_RESPONSE_BYTES
  const send: ToolAction = {
    name: 'send',
    description: 'Sends an e-mail',
    permission: 'write',
    repeatable: false,
    cacheMs: 0,
    timeoutMs: 30_000,
    costMicros: 0,
    schema: SEND,
    normalise: normaliseSend,
    facts: sendFacts,
    request: (params, context) => ({
      url: `${baseUrl}/users/me/messages/send`,
      method: 'POST',
      headers: [
        ['Content-Type', 'application/json'],
        ['Accept', 'application/json'],
      ],
      body: Buffer.from(JSON.stringify({ raw: rawMessage(params, context) }), 'utf8'),
      timeoutMs: 30_000,
      maxResponseBytes,
      followRedirects: false,
    }),
    result: sent,
    mock: mockSend,
  }
  const profile: ToolAction = {
    name: 'profile',
    description: 'Whose mailbox it is',
    permission: 'read',
    repeatable: true,
    cacheMs: 0,
    timeoutMs: 10_000,
    costMicros: 0,
    schema: PROFILE,
    normalise: (params) => {
      plainParams(params)
      return {}
    },
    facts: () => ({}),
    request: () => ({
      url: `${baseUrl}/users/me/profile`,
      method: 'GET',
      headers: [['Accept', 'application/json']],
      timeoutMs: 10_000,
      maxResponseBytes,
      followRedirects: false,
    }),
    result: profileOf,
    mock: () => ({
      email: 'mock@example.com',
      emailAddress: 'mock@example.com',
      name: 'Mock User',
      status: 'active',
    }),
  }
  return builtinTool({
    name: 'gmail_send',
    description: 'E-mail through Gmail',
    baseUrl,
    credential: {
      path: options.credentialPath ?? 'tools/gmail_send',
      inject: { headerType: 'bearer' },
    },
    actions: [send, profile],
  })
}

/** A message that was accepted is sent, whatever the answer looks like: its ids are null if they cannot be read. */
function sent(reply: UpstreamReply, params: JsonObject, { nowMs }: RequestContext): Json {
  assertSuccess(reply)
  const answer = parsedJson(Buffer.from(reply.body).toString('utf8'))
  const { id, threadId } = isJsonObject(answer) ? answer : {}
  return receipt('sent', { id: textOrNull(id), threadId: textOrNull(threadId) }, params, nowMs)
}

function receipt(
  status: 'sent' | 'queued',
  { id, threadId }: { id: string | null; threadId: string | null },
  params: JsonObject,
  nowMs: number,
): JsonObject {
  return {
    success: true,
    id,
    message_id: id,
    messageId: id,
    threadId,
    to: params['to'] ?? null,
    subject: params['subject'] ?? null,
    status,
    timestamp: new Date(nowMs).toISOString(),
  }
}

function textOrNull(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null
}

function profileOf(reply: UpstreamReply): Json {
  const answer = providerJson(reply)
  const profile = isJsonObject(answer) ? answer : {}
  const email = textOrNull(profile['emailAddress'])
  // Gmail tells no name.
  return { ...profile, email, name: email, status: 'active' }
}

function mockSend(params: JsonObject, { random, idempotencyKey, nowMs }: RequestContext): Json {
  const seed = idempotencyKey === undefined ? random : hash('sha256', idempotencyKey)
  const id = `mock_${seed.slice(0, 24)}`
  return {
    ...receipt('queued', { id, threadId: id }, params, nowMs),
    subject_len: characters(String(params['subject'])),
    body_len: characters(String(params['body'])),
  }
}
