/** An object with some of its methods replaced; all else is asked of the original, private members included. */

/** Takes the arguments that the original takes, and answers in its place. */
export type Replacement = (...args: never[]) => unknown

export function wrapped<T extends object>(
  original: T,
  replaced: ReadonlyMap<PropertyKey, Replacement>,
): T {
  const bound = new Map<PropertyKey, { readonly value: unknown; readonly made: unknown }>()
  return new Proxy(original, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function' || name === 'constructor') return value
      // What can never change has to be given as it is.
      const own = Reflect.getOwnPropertyDescriptor(target, name)
      if (own?.configurable === false && own.writable === false) return value
      const known = bound.get(name)
      // Its owner may put another one in its place, now or later.
      if (known !== undefined && (known.value === value || replaced.has(name))) return known.made
      const made: unknown = replaced.get(name) ?? value.bind(target)
      bound.set(name, { value, made })
      return made
    },
  })
}
