/** A small language for the shape of JSON, and the check of a value against it. Pure, depends on nothing. */

export type Shape =
  | {
      readonly is: 'text'
      readonly pattern?: RegExp
      readonly longest?: number
      readonly empty?: boolean
    }
  | { readonly is: 'integer'; readonly least?: number }
  | { readonly is: 'boolean' }
  | { readonly is: 'one of'; readonly values: readonly string[] }
  | { readonly is: 'list'; readonly of: Shape; readonly least?: number; readonly unique?: boolean }
  | { readonly is: 'map'; readonly of: Shape }
  | {
      readonly is: 'object'
      readonly members: Readonly<Record<string, Shape>>
      readonly required: readonly string[]
      /** Members beyond the named ones are allowed. */
      readonly open?: boolean
    }

/** @returns What is wrong, each as `<path>: <what>`; nothing when the value has the shape. */
export function faultsOf(value: unknown, shape: Shape, path = ''): string[] {
  const at = path === '' ? '/' : path
  switch (shape.is) {
    case 'text':
      return textFault(value, shape).map((what) => `${at}: ${what}`)
    case 'integer':
      return Number.isSafeInteger(value) && (value as number) >= (shape.least ?? -Infinity)
        ? []
        : [`${at}: must be an integer${shape.least === undefined ? '' : ` from ${shape.least}`}`]
    case 'boolean':
      return typeof value === 'boolean' ? [] : [`${at}: must be true or false`]
    case 'one of':
      return shape.values.some((allowed) => allowed === value)
        ? []
        : [`${at}: must be one of ${shape.values.join(', ')}`]
    case 'list':
      return listFaults(value, shape, path)
    case 'map':
      return isRecord(value)
        ? Object.entries(value).flatMap(([key, item]) => faultsOf(item, shape.of, `${path}/${key}`))
        : [`${at}: must be an object`]
    case 'object':
      return objectFaults(value, shape, path)
    default:
      return shape satisfies never
  }
}

function textFault(value: unknown, shape: Shape & { is: 'text' }): string[] {
  if (typeof value !== 'string') return ['must be text']
  if (value === '' && shape.empty !== true) return ['must not be empty']
  if (shape.longest !== undefined && value.length > shape.longest) {
    return [`must have at most ${shape.longest} characters`]
  }
  return shape.pattern === undefined || shape.pattern.test(value) ? [] : ['has the wrong form']
}

function listFaults(value: unknown, shape: Shape & { is: 'list' }, path: string): string[] {
  if (!Array.isArray(value)) return [`${path || '/'}: must be a list`]
  const faults = value.flatMap((item, index) => faultsOf(item, shape.of, `${path}/${index}`))
  if (value.length < (shape.least ?? 0)) faults.push(`${path}: needs at least ${shape.least}`)
  if (
    shape.unique === true &&
    new Set(value.map((item) => JSON.stringify(item))).size < value.length
  ) {
    faults.push(`${path}: has the same item twice`)
  }
  return faults
}

function objectFaults(value: unknown, shape: Shape & { is: 'object' }, path: string): string[] {
  if (!isRecord(value)) return [`${path || '/'}: must be an object`]
  const missing = shape.required.filter((name) => !Object.hasOwn(value, name))
  const faults = missing.map((name) => `${path}/${name}: is missing`)
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(shape.members, name) ? shape.members[name] : undefined
    if (known !== undefined) faults.push(...faultsOf(member, known, `${path}/${name}`))
    else if (shape.open !== true) faults.push(`${path}/${name}: is unknown`)
  }
  return faults
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
