/** Every method of an object, also those that its class has from others. */

export function methodsOf(prototype: object): string[] {
  const names = new Set<string>()
  for (
    let at: object | null = prototype;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object | null
  )
    for (const name of Object.getOwnPropertyNames(at)) names.add(name)
  names.delete('constructor')
  return [...names]
}
