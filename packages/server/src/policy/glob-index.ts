/**
 * Many globs as one trie of segments: a path meets every glob that matches it in a single walk, however
 * many globs there are. `**` is a node that loops to itself, so there is nothing to back-track.
 */
import { fillGlob, type Glob, parseGlobs, segmentMatches, type TemplateValues } from './glob.ts'

interface Node {
  literal: Map<string, Node>
  wild: { text: string; next: Node }[]
  deep: Node | undefined
  /** True for a node reached by `**`: it stays alive over any segment. */
  loops: boolean
  /** Ids whose glob ends here. */
  ids: string[]
}

export class GlobIndex {
  readonly #root = newNode(false)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** @param glob Without templates; fill them first. */
  add(id: string, glob: Glob): void {
    let node = this.#root
    for (const segment of glob.segments) {
      switch (segment.kind) {
        case 'deep':
          node.deep ??= newNode(true)
          node = node.deep
          break
        case 'literal': {
          const next = node.literal.get(segment.text) ?? newNode(false)
          node.literal.set(segment.text, next)
          node = next
          break
        }
        case 'wild': {
          let edge = node.wild.find((wild) => wild.text === segment.text)
          if (edge === undefined) {
            edge = { text: segment.text, next: newNode(false) }
            node.wild.push(edge)
          }
          node = edge.next
          break
        }
        case 'template':
          throw new TypeError('a template must be filled before it is indexed')
      }
    }
    if (!node.ids.includes(id)) node.ids.push(id)
    this.#size += 1
  }

  /** The ids of all globs that match, each once. Anchored at both ends, case-sensitive. */
  match(path: string): string[] {
    if (this.#size === 0) return []
    let alive = new Set<Node>()
    enter(alive, this.#root)
    for (const segment of path.split('/')) {
      const next = new Set<Node>()
      for (const node of alive) {
        if (node.loops) enter(next, node)
        const literal = node.literal.get(segment)
        if (literal !== undefined) enter(next, literal)
        for (const { text, next: wild } of node.wild) {
          if (segmentMatches(text, segment)) enter(next, wild)
        }
      }
      if (next.size === 0) return []
      alive = next
    }
    const ids = new Set<string>()
    for (const node of alive) for (const id of node.ids) ids.add(id)
    return [...ids]
  }
}

/** A set of glob entity ids (`PathGlob`, `AgentGlob`), split into what is fixed and what has templates. */
export class GlobFamily {
  readonly #fixed = new GlobIndex()
  readonly #templated: { id: string; glob: Glob }[] = []

  /** @throws VestryError `POLICY_INVALID` for an id that is not a glob or comma list of globs. */
  constructor(ids: Iterable<string>) {
    for (const id of ids) {
      for (const glob of parseGlobs(id)) {
        if (glob.templated) this.#templated.push({ id, glob })
        else this.#fixed.add(id, glob)
      }
    }
  }

  /** Ids without templates that match. */
  match(text: string): string[] {
    return this.#fixed.match(text)
  }

  /** The templated ids as one principal sees them; undefined when none can ever match it. */
  filledFor(values: TemplateValues): GlobIndex | undefined {
    const index = new GlobIndex()
    for (const { id, glob } of this.#templated) {
      const filled = fillGlob(glob, values)
      if (filled !== undefined) index.add(id, filled)
    }
    return index.size === 0 ? undefined : index
  }
}

function enter(alive: Set<Node>, node: Node): void {
  alive.add(node)
  // `**` also stands for no segment at all.
  if (node.deep !== undefined && !alive.has(node.deep)) enter(alive, node.deep)
}

function newNode(loops: boolean): Node {
  return { literal: new Map(), wild: [], deep: undefined, loops, ids: [] }
}
