/** What a program means, for who reads it: what starts it, what runs, what it may do and where the file says so. */
import type { CheckedAgent, ProgramDefinition } from '../dsl/definition.ts'
import { conditionOf, deedOf } from '../dsl/permission-words.ts'
import type { Permission, Permissions } from '../dsl/permissions.ts'
import { permissionsOf } from '../dsl/permissions-of.ts'
import { safeLines } from './terminal-text.ts'

/** @throws VestryError DSL_INVALID for a budget that cannot be read. */
export function programSummary(agent: CheckedAgent): string {
  const { definition } = agent
  const permissions = permissionsOf(agent)
  const { name, version, parameters } = definition
  const given = parameters.map((one) => `${one.name}: ${one.type}`).join(', ')
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['started by', startsOf(definition)],
    ['runs', definition.actions.map((one) => one.name)],
    ['may', permissions.allows.map((one) => permissionLine(one, permissions))],
    ['must not', permissions.denies.map((one) => permissionLine(one, permissions))],
    ['requires', permissions.requires ?? []],
    ['limits', budgetLines(permissions.budgets)],
    ['notes', permissions.notes],
  ]
  const lines = sections.flatMap(([title, all]) =>
    all.length === 0 ? [] : [`  ${title}`, ...all.map((one) => `    ${safeLines(one)}`)],
  )
  const head = `agent ${name}${given === '' ? '' : `(${given})`}, version ${version}`
  return `${[safeLines(head), ...lines].join('\n')}\n`
}

function startsOf({ name, triggers, schedules, webhooks }: ProgramDefinition): string[] {
  return [
    ...triggers.map(({ provider, path, events }) => {
      const all = events.map(({ event, filter }) =>
        filter === null ? event : `${event} ${JSON.stringify(filter)}`,
      )
      return `${provider} at ${path}${all.length === 0 ? '' : `: ${all.join(', ')}`}`
    }),
    ...schedules
      .filter(({ agent }) => agent === name)
      .map(({ cron, at, timezone }) => `schedule ${cron ?? at ?? ''} ${timezone}`),
    ...webhooks
      .filter(({ agent }) => agent === null || agent === name)
      .map(({ provider, path }) => `webhook of ${provider} at ${path}`),
  ]
}

function permissionLine(one: Permission, { rules }: Permissions): string {
  const place = one.line === 0 ? '' : ` (line ${one.line})`
  return `${deedOf(one)}${conditionOf(one, rules)}${place}`
}

function budgetLines(budgets: Permissions['budgets']): string[] {
  const { rate, quota, costMicros, maxTokens, timeoutSeconds } = budgets
  return [
    ...(rate === undefined ? [] : [`${rate}, for each permission`]),
    ...(quota === undefined ? [] : [`${quota}, for each permission`]),
    ...(costMicros === undefined ? [] : [`$${costMicros / 1_000_000} a run`]),
    ...(maxTokens === undefined ? [] : [`${maxTokens} tokens a call`]),
    ...(timeoutSeconds === undefined ? [] : [`${timeoutSeconds} s a run`]),
  ]
}
