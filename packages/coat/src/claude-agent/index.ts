/** The adapter for the Claude Agent SDK: a wrapped `query`, or hooks for those who call it themselves. */

import { OpenRuns } from '../adapters/open-runs.ts'
import type { AdapterOptions } from '../adapters/options.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields, text } from '../adapters/shapes.ts'
import { withHooks } from './hooks.ts'
import { observedQuery } from './query.ts'
import { Tracker } from './tracker.ts'

export type { AdapterOptions }

/**
 * Wraps the SDK's `query`: it takes the same parameters, and what it returns has every method of the
 * original. The caller's hooks and permission callback are called as before, ours come after them.
 */
export function coatQuery<Query extends (...args: never[]) => object>(
  query: Query,
  options: AdapterOptions = {},
): Query {
  const watched = (...args: Parameters<Query>): object => {
    const asked = fields(args[0])
    const tracker = asked === undefined ? undefined : quietly(() => new Tracker(options))
    if (asked === undefined || tracker === undefined) return query(...args)
    const given = quietly(() => ({ ...asked, options: observing(asked['options'], tracker) }))
    const rest = [given ?? args[0], ...args.slice(1)] as Parameters<Query>
    return observedQuery(query(...rest), tracker, asked)
  }
  // The same parameters go in, apart from added hooks, and an object with the same members comes out.
  return watched as Query
}

/**
 * The same options with our hooks behind the caller's, for a query that is not wrapped. Hooks tell of
 * prompts, tools, subagents and compactions; what the model answered only a wrapped query sees.
 */
export function coatHooks<Options extends object>(
  options: Options,
  adapterOptions: AdapterOptions = {},
): Options {
  return quietly(() => hooked(options, adapterOptions)) ?? options
}

/** Without a wrapped query the first hook of a session begins its run, and the session's end ends it. */
function hooked<Options extends object>(options: Options, adapterOptions: AdapterOptions): Options {
  const sessions = new OpenRuns<Tracker>((tracker) => tracker.finish('abandoned'))
  const hooks = (options as { hooks?: unknown }).hooks
  const all = withHooks(hooks, (input, event) => {
    const id = text(input['session_id']) ?? ''
    const tracker = sessions.get(id) ?? new Tracker(adapterOptions)
    tracker.begin()
    if (event === 'SessionEnd') {
      sessions.take(id)
      // After this very hook has been told.
      queueMicrotask(() => quietly(() => tracker.finish('ok')))
    } else sessions.set(id, tracker)
    return tracker
  })
  return { ...options, hooks: all }
}

type Permission = (toolName: string, input: unknown, context?: unknown) => unknown

function observing(options: unknown, tracker: Tracker): Record<string, unknown> {
  const own = fields(options) ?? {}
  const given: Record<string, unknown> = { ...own }
  given['hooks'] = withHooks(own['hooks'], () => tracker)
  const ask = own['canUseTool']
  if (typeof ask === 'function') given['canUseTool'] = asking(ask as Permission, tracker)
  return given
}

let questions = 0

function asking(ask: Permission, tracker: Tracker): Permission {
  return async function (this: unknown, toolName, input, context) {
    const about = fields(context)
    const id = text(about?.['toolUseID']) ?? `question-${++questions}`
    quietly(() => tracker.asked(id, toolName, input, tracker.placeOf(text(about?.['agentID']))))
    try {
      const answer: unknown = await ask.call(this, toolName, input, context)
      const behavior = fields(answer)?.['behavior']
      quietly(() => tracker.answered(id, behavior === 'allow' ? 'approved' : 'denied', answer))
      return answer
    } catch (error) {
      quietly(() => tracker.answered(id, 'cancelled', undefined, error))
      throw error
    }
  }
}
