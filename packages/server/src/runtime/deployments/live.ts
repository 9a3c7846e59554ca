/** A deployment that serves here: how its runs went, and the paths on which events reach it. */
import type { ProgramDefinition, WebhookProvider } from '../../dsl/definition.ts'
import type { ProgramVersion } from '../programs/programs-api.ts'
import { type Deployment, PRODUCTION } from './deployment.ts'
import { firesTrigger, firesWebhook, type InboundEvent } from './event.ts'

export class Live {
  /** As it is stored now. */
  deployment: Deployment
  readonly version: ProgramVersion | undefined
  readonly hooks: readonly Hook[]
  /** Runs that failed one after the other. */
  failures = 0

  constructor(deployment: Deployment, version: ProgramVersion | undefined) {
    this.deployment = deployment
    this.version = version
    this.hooks =
      version === undefined ? [] : hooksOf(version.definition, deployment.facts.agentName)
  }
}

export interface Hook {
  readonly name: string
  /** Below the prefix of the API, always within `hooks/`. */
  readonly path: string
  readonly provider: WebhookProvider
  /** `secret://…` of the agent, or `vault://…`. */
  readonly secret: string
  /** Undefined: all of them. */
  readonly actions: readonly string[] | undefined
  readonly fires: (event: string, inbound: InboundEvent) => boolean
}

const PREFIX = 'hooks/'

export function hooksOf(definition: ProgramDefinition, agentName: string): readonly Hook[] {
  const triggers = definition.triggers
    .map((trigger) => ({
      ...trigger,
      // Those by the clock have no path.
      events: trigger.events.filter(({ event }) => event !== 'schedule'),
    }))
    .filter(({ events }) => events.length > 0)
    .map(
      (trigger): Hook => ({
        name: trigger.name,
        path: pathOf(trigger.path),
        provider: trigger.provider,
        secret: referenceOf(trigger.secret_ref),
        actions: trigger.run.length === 0 ? undefined : trigger.run,
        fires: (event, inbound) => firesTrigger(trigger, event, inbound),
      }),
    )
  const webhooks = definition.webhooks
    .filter(({ agent }) => agent === null || agent === agentName)
    .map(
      (webhook): Hook => ({
        name: webhook.name,
        path: pathOf(webhook.path),
        provider: webhook.provider,
        secret: referenceOf(webhook.secret_ref),
        actions: undefined,
        fires: (_, { payload }) => firesWebhook(webhook, payload),
      }),
    )
  return [...triggers, ...webhooks]
}

/** Times at which the agent is to run, of `schedule` items and of triggers by the clock. */
export function schedulesOf(
  { definition }: Pick<ProgramVersion, 'definition'>,
  { agentId, facts: { agentName } }: Pick<Deployment, 'agentId' | 'facts'>,
) {
  const items = definition.schedules
    .filter(({ agent }) => agent === '' || agent === agentName)
    .map(({ name, cron, at, timezone, one_shot: oneShot, audit }) => ({
      name,
      cron: cron ?? at ?? '',
      timezone,
      agentId,
      oneShot: oneShot || at !== null,
      audit,
    }))
  const triggers = definition.triggers.flatMap(({ name, events, run }) =>
    events
      .filter(({ event, filter }) => event === 'schedule' && typeof filter === 'string')
      .map(({ filter }, index) => ({
        name: index === 0 ? name : `${name}-${index + 1}`,
        cron: String(filter),
        timezone: 'UTC',
        agentId,
        oneShot: false,
        audit: 'all_operations',
        ...(run.length > 0 && { actions: run }),
      })),
  )
  return [...items, ...triggers]
}

/** Of several that have one path, production comes first, and then the newest. */
export function takesOver(one: Deployment, other: Deployment): boolean {
  const isProduction = one.environment === PRODUCTION
  if (isProduction !== (other.environment === PRODUCTION)) return isProduction
  return (
    one.deployedAt > other.deployedAt || (one.deployedAt === other.deployedAt && one.id > other.id)
  )
}

/** No path of a source leaves the part of the API that is for events. */
function pathOf(given: string): string {
  const plain = given.replace(/^\/+/, '').replace(/\/+$/, '')
  return plain.startsWith(PREFIX) ? plain : PREFIX + plain
}

function referenceOf(secret: string): string {
  return /^(?:secret|vault):\/\//.test(secret) ? secret : `secret://${secret}`
}
