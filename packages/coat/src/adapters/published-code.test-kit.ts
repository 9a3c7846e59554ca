/**
 * Tests resolve this repository's packages to their sources, by a condition of its own. Packages of
 * others that know a condition of that name publish sources which nobody may run from there.
 */
import { registerHooks } from 'node:module'

registerHooks({
  resolve(specifier, context, next) {
    if (!specifier.startsWith('eventsource')) return next(specifier, context)
    const conditions = context.conditions.filter((condition) => condition !== 'source')
    return next(specifier, { ...context, conditions })
  },
})
