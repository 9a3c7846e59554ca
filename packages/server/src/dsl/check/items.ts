/** Checks of what stands beside agents: schedules, channels, memories, webhooks. */
import { Cron } from 'croner'
import type { ChannelItem, Expression, MemoryItem, ScheduleItem, WebhookItem } from '../ast.ts'
import { type Checker, noDuplicates, propertyNamed, quoted, textOf } from './report.ts'
import { checkSecret } from './secret-literal.ts'

const SCHEDULE_KEYS = ['cron', 'at', 'timezone', 'agent', 'policy', 'audit', 'one_shot', 'deliver']
const AUDITS = ['none', 'errors_only', 'all_operations']
const POINT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/i
const MAX_CRON = 256

export function checkSchedule(
  checker: Checker,
  node: ScheduleItem,
  agents: ReadonlySet<string>,
): void {
  const { properties } = node
  noDuplicates(
    checker,
    properties.map((one) => one.name),
    'property',
  )
  for (const { name } of properties) {
    if (SCHEDULE_KEYS.includes(name.text)) continue
    checker.add(
      'E_SCHEDULE',
      name,
      `a schedule has no ${quoted(name.text)}`,
      SCHEDULE_KEYS.join(', '),
    )
  }
  const cron = propertyNamed(properties, 'cron')
  const at = propertyNamed(properties, 'at')
  if ((cron === undefined) === (at === undefined)) {
    checker.add('E_SCHEDULE', node.name, 'a schedule has either "cron" or "at"')
  }
  if (cron !== undefined) checkCron(checker, cron.value)
  const point = textOf(at?.value)
  if (at !== undefined && (point === undefined || !isPoint(point))) {
    checker.add(
      'E_SCHEDULE',
      at.value,
      '"at" is a time with its zone',
      'For example "2032-01-31T08:00:00Z".',
    )
  }
  const zone = propertyNamed(properties, 'timezone')
  if (zone !== undefined) checkZone(checker, zone.value)
  const audit = propertyNamed(properties, 'audit')
  if (audit !== undefined && !AUDITS.includes(textOf(audit.value) ?? '')) {
    checker.add('E_SCHEDULE', audit.value, `"audit" is one of ${AUDITS.join(', ')}`)
  }
  const once = propertyNamed(properties, 'one_shot')
  if (once !== undefined && once.value.kind !== 'boolean') {
    checker.add('E_SCHEDULE', once.value, '"one_shot" is true or false')
  }
  checkAgentRef(checker, propertyNamed(properties, 'agent')?.value, agents)
}

/** Five fields from the minute, six from the second, seven with a year. */
export function checkCron(checker: Checker, value: Expression): void {
  const text = value.kind === 'string' ? value.value.trim() : undefined
  const fields = text?.split(/\s+/).length ?? 0
  let reason = text === undefined || text.length > MAX_CRON ? 'it is a string' : undefined
  if (reason === undefined && (fields < 5 || fields > 7))
    reason = `it has 5 to 7 fields, not ${fields}`
  try {
    if (reason === undefined) new Cron(text ?? '', { paused: true })
  } catch (thrown) {
    reason =
      thrown instanceof Error ? thrown.message.replace(/^Cron\w+: /, '') : 'it cannot be read'
  }
  if (reason === undefined) return
  const hint = 'For example "30 2 * * *", each day at half past two.'
  checker.add('E_CRON', value, `no cron expression: ${reason.slice(0, 120)}`, hint)
}

function isPoint(text: string): boolean {
  return POINT.test(text) && Number.isFinite(Date.parse(text))
}

function checkZone(checker: Checker, value: Expression): void {
  const text = textOf(value)
  try {
    if (text === undefined) throw new RangeError('no text')
    new Intl.DateTimeFormat('en', { timeZone: text })
  } catch {
    checker.add(
      'E_TIMEZONE',
      value,
      'there is no such time zone',
      'For example "UTC" or "Europe/Vienna".',
    )
  }
}

export function checkAgentRef(
  checker: Checker,
  value: Expression | undefined,
  known: ReadonlySet<string>,
): void {
  const name = textOf(value)
  const { agents } = checker.options
  if (value === undefined || name === undefined || known.has(name)) return
  if (agents === undefined || agents(name)) return
  checker.add('E_UNKNOWN_AGENT_REF', value, `there is no agent ${quoted(name)}`)
}

export function checkChannel(
  checker: Checker,
  node: ChannelItem,
  agents: ReadonlySet<string>,
): void {
  noDuplicates(
    checker,
    node.properties.map((one) => one.name),
    'property',
  )
  const platform = textOf(propertyNamed(node.properties, 'platform')?.value)
  if (platform === undefined || platform === '') {
    checker.add(
      'E_CHANNEL',
      node.name,
      'a channel needs "platform"',
      'For example platform: "slack".',
    )
  }
  for (const { value, name } of node.classification) {
    if (['redact', 'block', 'allow'].includes(textOf(value) ?? '')) continue
    checker.add('E_CHANNEL', value, `${quoted(name.text)} is redact, block or allow`)
  }
  for (const { value, name } of node.properties) checkSecret(checker, value, name.text)
  checkAgentRef(checker, propertyNamed(node.properties, 'default_agent')?.value, agents)
}

export function checkMemory(checker: Checker, node: MemoryItem): void {
  noDuplicates(
    checker,
    node.properties.map((one) => one.name),
    'property',
  )
  const store = propertyNamed(node.properties, 'store')
  if (textOf(store?.value) !== 'markdown') {
    checker.add('E_MEMORY_STORE', store?.value ?? node.name, 'the store of a memory is "markdown"')
  }
  const retention = propertyNamed(node.properties, 'retention')?.value
  if (retention === undefined) return
  const text = textOf(retention)
  const isDuration =
    retention.kind === 'duration'
      ? retention.ms > 0
      : /^[1-9]\d{0,8}(s|m|h|d|w|months|y)$/.test(text ?? '')
  if (!isDuration)
    checker.add('E_RETENTION', retention, '"retention" is a duration', 'For example 90d.')
}

export function checkWebhook(
  checker: Checker,
  node: WebhookItem,
  agents: ReadonlySet<string>,
): void {
  noDuplicates(
    checker,
    node.properties.map((one) => one.name),
    'property',
  )
  const path = propertyNamed(node.properties, 'path')
  const text = textOf(path?.value)
  if (text === undefined || !isPath(text)) {
    const message =
      path === undefined ? 'a webhook needs "path"' : '"path" is a path of plain parts'
    checker.add('E_WEBHOOK', path?.value ?? node.name, message, 'For example path "hooks/orders".')
  }
  for (const { value, name } of node.properties) checkSecret(checker, value, name.text)
  checkAgentRef(checker, propertyNamed(node.properties, 'agent')?.value, agents)
  if (node.filter.length === 0) return
  const tests = ['equals', 'contains'].filter(
    (name) => propertyNamed(node.filter, name) !== undefined,
  )
  if (propertyNamed(node.filter, 'json_path') === undefined || tests.length !== 1) {
    checker.add('E_WEBHOOK', node.name, 'a filter has "json_path" and one of "equals", "contains"')
  }
}

/** Letters, digits and marks that mean nothing; no `..`. */
export function isPath(text: string): boolean {
  return (
    /^\/?[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(\/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*\/?$/.test(text) &&
    text.length <= 256
  )
}
