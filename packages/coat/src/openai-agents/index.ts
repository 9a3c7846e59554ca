/** The adapter for the OpenAI Agents SDK: a tracing processor, and a wrapper that sees approvals. */
import { types } from 'node:util'
import { loadModule, missing } from '../adapters/framework.ts'
import type { AdapterOptions } from '../adapters/options.ts'
import { answer, observeResult } from './approvals.ts'
import { PACKAGES } from './framework.ts'
import { CoatTracingProcessor } from './processor.ts'
import type { TracingProcessorLike } from './shapes.ts'

export type { AdapterOptions, TracingProcessorLike }
export { CoatTracingProcessor }

let installed: Promise<CoatTracingProcessor> | undefined

/**
 * Adds a {@link CoatTracingProcessor} beside the processors that are there. A second call changes nothing.
 * The same as `addTraceProcessor(new CoatTracingProcessor())`, for those who would rather not import it.
 *
 * @throws Error `MissingFramework` when the SDK cannot be loaded.
 */
export function installCoat(options: AdapterOptions = {}): Promise<CoatTracingProcessor> {
  installed ??= install(options).catch((error: unknown) => {
    // What is missing now may be installed at the next call.
    installed = undefined
    throw error
  })
  return installed
}

async function install(options: AdapterOptions): Promise<CoatTracingProcessor> {
  for (const name of PACKAGES) {
    const add = (await loadModule(name))?.['addTraceProcessor']
    if (typeof add !== 'function') continue
    const processor = new CoatTracingProcessor(options)
    add(processor)
    return processor
  }
  throw missing('installCoat', '@openai/agents')
}

/**
 * Wraps `run`, or a runner's `run` bound to it, so that a tool waiting for approval is told as a question
 * to a person, and the resumed run as its answer. The processor tells all else.
 */
export function coatRun<Run extends (...args: never[]) => unknown>(
  run: Run,
  options: AdapterOptions = {},
): Run {
  const observed = (...args: Parameters<Run>): unknown => {
    answer(args[1])
    const result: unknown = run(...args)
    if (!types.isPromise(result)) return result
    return result.then((value: unknown) => {
      observeResult(value, options)
      return value
    })
  }
  // The same arguments go in and the same result comes out; only the promise in between is another.
  return observed as Run
}
