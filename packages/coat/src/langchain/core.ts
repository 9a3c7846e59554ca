/**
 * LangChain's base class and its configure hook, from the copy that the application itself imports.
 * Loaded with this door, not at a call: a handler has to extend a class, and a hook has to be registered
 * in the very context that installs it, so neither can wait for a promise.
 */
import { framework, loadModule, missing } from '../adapters/framework.ts'

const PACKAGE = '@langchain/core'

interface CoreContext {
  registerConfigureHook(hook: { contextVar: string; inheritable: boolean }): void
  setContextVariable(name: string, value: unknown): void
  getContextVariable(name: string): unknown
}

const base = await loadModule(`${PACKAGE}/callbacks/base`)
const context = await loadModule(`${PACKAGE}/context`)

/** Stands in where the framework is not installed: importing is harmless, making a handler says what is missing. */
class Missing {
  constructor() {
    throw missing('CoatCallbackHandler', PACKAGE)
  }
}

export const HandlerBase = (base?.['BaseCallbackHandler'] ?? Missing) as new () => object

/** @param own The module `@langchain/core/context`, of an application that loads CommonJS. */
export function coreContext(own?: object): CoreContext {
  const found = (own ?? context) as CoreContext | undefined
  if (typeof found?.registerConfigureHook !== 'function') throw missing('installCoat', PACKAGE)
  return found
}

export const langchain = () => framework('langchain', [PACKAGE])
