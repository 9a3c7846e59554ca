/** What a provider's request is about, and whether a trigger asks for it. Pure. */
import type {
  Json,
  TriggerDefinition,
  WebhookDefinition,
  WebhookProvider,
} from '../../dsl/definition.ts'

export interface InboundEvent {
  readonly provider: WebhookProvider
  readonly header: (name: string) => string | undefined
  /** The body, parsed. */
  readonly payload: unknown
}

/** In one spelling for all providers: `push`, `pull_request`, `issue`, `message`. */
export function eventOf({ provider, header, payload }: InboundEvent): string {
  switch (provider) {
    case 'github':
      return normal(header('x-github-event'))
    case 'gitlab':
      return normal(text(at(payload, 'object_kind')) ?? header('x-gitlab-event'))
    case 'slack':
      return normal(text(at(payload, 'event.type')) ?? text(at(payload, 'type')))
    case 'stripe':
      return text(at(payload, 'type')) ?? ''
    case 'custom':
      return normal(header('x-event') ?? text(at(payload, 'event')) ?? text(at(payload, 'type')))
  }
}

/** A delivery's own name, by which a second one is known to be the same. undefined: it has none. */
export function deliveryOf({ provider, header, payload }: InboundEvent): string | undefined {
  switch (provider) {
    case 'github':
      // Of the body alone. The id of a delivery is not signed: whoever saw one could send it under another id.
      return header('x-hub-signature-256')
    case 'gitlab':
      return header('idempotency-key') ?? header('x-gitlab-event-uuid')
    case 'slack':
      // One that Slack sends again is signed anew.
      return (
        text(at(payload, 'event_id')) ??
        `${header('x-slack-request-timestamp') ?? ''}:${header('x-slack-signature') ?? ''}`
      )
    case 'stripe':
      return text(at(payload, 'id')) ?? header('stripe-signature')
    case 'custom':
      return header('idempotency-key') ?? header('x-delivery-id')
  }
}

/** Whether one of the trigger's events, with its filter, is this one. */
export function firesTrigger(
  { events, filter }: Pick<TriggerDefinition, 'events' | 'filter'>,
  event: string,
  inbound: InboundEvent,
): boolean {
  const isAsked = events.some(
    (asked) =>
      (asked.event === '*' || sameEvent(asked.event, event)) &&
      fits(asked.filter, subjectsOf(event, inbound.payload)),
  )
  return isAsked && (filter === null || fitsPath(filter, inbound.payload))
}

export function firesWebhook(
  { filter }: Pick<WebhookDefinition, 'filter'>,
  payload: unknown,
): boolean {
  if (filter === null) return true
  const value = at(payload, filter.json_path)
  if (filter.contains !== null) return contains(value, filter.contains)
  return value !== undefined && JSON.stringify(value) === JSON.stringify(filter.equals)
}

/** What a filter of an event is compared with. */
function subjectsOf(event: string, payload: unknown): readonly string[] {
  const named = (...paths: readonly string[]) =>
    paths.flatMap((path) => text(at(payload, path)) ?? [])
  switch (event) {
    case 'push':
      return named('ref').map((ref) => ref.replace(/^refs\/heads\//, ''))
    case 'tag_push':
      return named('ref').map((ref) => ref.replace(/^refs\/tags\//, ''))
    case 'pull_request':
      return named('pull_request.base.ref', 'object_attributes.target_branch')
    case 'release':
      return named('release.tag_name', 'tag')
    case 'issue':
      return [
        ...labels(at(payload, 'issue.labels')),
        ...labels(at(payload, 'labels')),
        ...named('label.name'),
      ]
    case 'message':
      return named('event.channel', 'event.channel_name', 'channel', 'channel_name')
    default:
      return named('action', 'type')
  }
}

function fits(filter: Json, subjects: readonly string[]): boolean {
  if (filter === null || filter === '*' || filter === true) return true
  const wanted = Array.isArray(filter) ? filter : [filter]
  return wanted.some((one) => one === '*' || subjects.includes(String(one)))
}

/** `{json_path, equals | contains}`, as of webhooks; anything else fits nothing. */
function fitsPath(filter: Json, payload: unknown): boolean {
  const path = at(filter, 'json_path')
  if (typeof path !== 'string') return false
  const equals = (at(filter, 'equals') ?? null) as Json
  return firesWebhook(
    { filter: { json_path: path, equals, contains: text(at(filter, 'contains')) ?? null } },
    payload,
  )
}

/** Providers say `issues`, `merge_request`; sources say `issue`, `pull_request`. */
const SAME: Readonly<Record<string, string>> = {
  issues: 'issue',
  merge_request: 'pull_request',
  push_hook: 'push',
  app_mention: 'message',
}

function normal(name: string | undefined): string {
  const plain = (name ?? '').trim().toLowerCase().replaceAll(/[ -]+/g, '_').slice(0, 128)
  return Object.hasOwn(SAME, plain) ? (SAME[plain] ?? plain) : plain
}

function sameEvent(asked: string, event: string): boolean {
  // Stripe's have dots where names in a source cannot.
  return normal(asked) === normal(event).replaceAll('.', '_')
}

/** `$.a.b[0].c`, with or without what it begins with. Own members only. */
export function at(value: unknown, path: string): unknown {
  const parts = path
    .replace(/^\$\.?/, '')
    .replaceAll(/\[(\d+)\]/g, '.$1')
    .split('.')
    .filter((part) => part !== '')
  let here = value
  for (const part of parts) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, part)) return undefined
    here = (here as Record<string, unknown>)[part]
  }
  return here
}

function contains(value: unknown, part: string): boolean {
  if (typeof value === 'string') return value.includes(part)
  return Array.isArray(value) && value.some((one) => String(one) === part)
}

function labels(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return []
  return value.flatMap((one) => text(one) ?? text(at(one, 'name')) ?? text(at(one, 'title')) ?? [])
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
