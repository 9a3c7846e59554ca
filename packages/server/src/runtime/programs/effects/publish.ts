/** `publish(topic, value)`: into the record, and to the agents that are named as subscribers. */
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { plainArgument, textArgument, wrong } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

const MAX_TOPIC_CHARS = 256
const MAX_SUBSCRIBERS = 64

export function publish(run: ProgramRun, call: EffectCall): Promise<Value> {
  const topic = textArgument(call, 'topic', 0)
  if (!/^[^\p{C}]+$/u.test(topic) || topic.length > MAX_TOPIC_CHARS)
    throw wrong(call, `topic must be 1 to ${MAX_TOPIC_CHARS} printable characters`)
  const value = plainArgument(call, 'value', 1)
  const operation = { op: 'publish', name: topic, args: { topic, value } } as const
  return effectStep(run, call, { repeatable: false, operation }, async (caller): Promise<Value> => {
    const { delivered } = await run.doors.publish({
      agent: run.agent,
      caller,
      executionId: run.executionId,
      topic,
      value,
      subscribers: subscribersOf(run),
    })
    return { topic, delivered }
  })
}

/** As the deployment says, else the source. */
function subscribersOf({ program, checked }: ProgramRun): readonly string[] {
  const named = program.config?.['subscribers'] ?? checked.definition.attributes['subscribers']
  if (!Array.isArray(named)) return []
  return named
    .filter((one: unknown): one is string => typeof one === 'string')
    .slice(0, MAX_SUBSCRIBERS)
}
