/** Finds the route of a path. What is written out beats a parameter; which methods there are is asked afterwards. */
import { VestryError } from '@vestry/contract/errors'
import type { RuntimeMethod, RuntimeRoute } from './route.ts'

export interface Matched {
  readonly methods: ReadonlyMap<RuntimeMethod, RuntimeRoute>
  /** Values of the parameters, in the order of the path. */
  readonly values: readonly string[]
}

interface Node {
  readonly fixed: Map<string, Node>
  parameter: Node | undefined
  /** Methods of a path that ends here. */
  readonly methods: Map<RuntimeMethod, RuntimeRoute>
  /** Methods of a path whose rest ends here. */
  readonly rest: Map<RuntimeMethod, RuntimeRoute>
}

export class Router {
  readonly #root = node()

  constructor(routes: readonly RuntimeRoute[]) {
    for (const route of routes) this.#add(route)
  }

  /** @returns undefined where no route of any method has this path. */
  match(segments: readonly string[]): Matched | undefined {
    return find(this.#root, segments, 0, [])
  }

  #add(route: RuntimeRoute): void {
    let at = this.#root
    let methods = at.methods
    for (const part of route.path.split('/')) {
      if (part === '*') {
        methods = at.rest
        break
      }
      at = part.startsWith(':') ? parameterOf(at) : fixedOf(at, part)
      methods = at.methods
    }
    if (methods.has(route.method))
      throw new VestryError('INTERNAL_ERROR', `two routes ${route.method} ${route.path}`)
    methods.set(route.method, route)
  }
}

/** Parameters of a matched route by name; `*` is the rest of the path. */
export function paramsOf(route: RuntimeRoute, values: readonly string[]): Record<string, string> {
  const names = route.path
    .split('/')
    .filter((part) => part.startsWith(':') || part === '*')
    .map((part) => (part === '*' ? part : part.slice(1)))
  return Object.fromEntries(names.map((name, at) => [name, values[at] as string]))
}

function find(
  at: Node,
  segments: readonly string[],
  depth: number,
  values: readonly string[],
): Matched | undefined {
  const segment = segments[depth]
  if (segment === undefined)
    return at.methods.size > 0 ? { methods: at.methods, values } : undefined
  const fixed = at.fixed.get(segment)
  const found =
    (fixed && find(fixed, segments, depth + 1, values)) ??
    (at.parameter && find(at.parameter, segments, depth + 1, [...values, segment]))
  if (found !== undefined || at.rest.size === 0) return found
  return { methods: at.rest, values: [...values, segments.slice(depth).join('/')] }
}

function fixedOf(at: Node, part: string): Node {
  let next = at.fixed.get(part)
  if (next === undefined) {
    next = node()
    at.fixed.set(part, next)
  }
  return next
}

function parameterOf(at: Node): Node {
  at.parameter ??= node()
  return at.parameter
}

function node(): Node {
  return { fixed: new Map(), parameter: undefined, methods: new Map(), rest: new Map() }
}
