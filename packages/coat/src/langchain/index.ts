/** The adapter for LangChain.js and LangGraph: a callback handler, for one run or for all. */
import type { AdapterOptions } from '../adapters/options.ts'
import { coreContext } from './core.ts'
import { CoatCallbackHandler } from './handler.ts'

export type { AdapterOptions }
export { CoatCallbackHandler }

const VARIABLE = 'coat_callback_handler'

export interface InstallOptions extends AdapterOptions {
  /** The module `@langchain/core/context`; only an application that loads CommonJS has to hand it over. */
  readonly context?: object
}

let installed: CoatCallbackHandler | undefined

/**
 * Adds the handler to every run that begins in this context or below it, through LangChain's own
 * configure hook. Call it once, outside of any run, before the first one; a second call changes nothing.
 *
 * @throws Error `MissingFramework` when `@langchain/core` cannot be loaded.
 */
export function installCoat(options: InstallOptions = {}): void {
  const context = coreContext(options.context)
  installed ??= new CoatCallbackHandler(options)
  // Hook and handler live in the context together: where one is, the other is.
  if (context.getContextVariable(VARIABLE) === installed) return
  context.registerConfigureHook({ contextVar: VARIABLE, inheritable: true })
  context.setContextVariable(VARIABLE, installed)
}
