/**
 * The patterns one policy set names, and the entities of a request as that set sees them: which globs
 * hold a principal and a path, which host patterns hold a target, which windows are open. Principals
 * and paths are remembered with a bound, so a repeated question costs two look-ups.
 */
import { VestryError } from '@vestry/contract/errors'
import { RecentMap } from '../store/recent-map.ts'
import { ACTIONS, withGroups } from './actions.ts'
import { Entity, type EntitySource } from './cedar/entity.ts'
import { entityRefs } from './cedar/entity-refs.ts'
import type { StoredPolicy } from './cedar/policy-set.ts'
import { type CedarRecord, CedarSet, EntityUid, type Value } from './cedar/value.ts'
import { parseGlobs } from './glob.ts'
import { GlobFamily, type GlobIndex } from './glob-index.ts'
import { type KnownPatterns, Patterns } from './patterns.ts'
import type {
  KnowledgeResource,
  ModelResource,
  OpenData,
  PolicyContext,
  PolicyPrincipal,
  PolicyResource,
  ToolResource,
} from './policy-request.ts'
import { inPolicy } from './prepared-policy.ts'
import { ARGS, CLOCK, HOST, isLong, NUMS, wellFormed } from './request-context.ts'

const MAX_PRINCIPALS = 20_000
const MAX_PATHS = 262_144
const MAX_OWN_PATHS = 1_000
const MAX_TOOLS = 10_000
const MAX_MODELS = 10_000

const SYSTEM = new Entity(new EntityUid('System', 'vestry'))
const ACTION_ENTITIES = new Map(ACTIONS.map((name) => [name, newAction(name)]))

/** An action with its groups. One nobody declared is its own entity, and no policy speaks of it. */
export function actionEntity(name: string): Entity {
  return ACTION_ENTITIES.get(name) ?? newAction(name)
}

interface KnownPrincipal {
  given: PolicyPrincipal
  entity: Entity
  /** Templated path globs with this principal's values; undefined when none applies. */
  paths: GlobIndex | undefined
  /** Resources that lie under one of those globs. */
  own: RecentMap<string, KnownResource>
}

interface KnownResource {
  type: string | null
  tags: readonly string[]
  entity: Entity
}

export class Vocabulary {
  readonly #agents: GlobFamily
  readonly #paths: GlobFamily
  readonly #patterns: Patterns
  readonly #principals = new RecentMap<string, KnownPrincipal>(MAX_PRINCIPALS)
  readonly #resources = new RecentMap<string, KnownResource>(MAX_PATHS)
  readonly #tools = new RecentMap<string, { given: ToolResource; entity: Entity }>(MAX_TOOLS)
  readonly #models = new RecentMap<string, Entity>(MAX_MODELS)
  readonly #uids = new Map<string, EntityUid>()

  /** @throws VestryError `POLICY_INVALID` naming the policy with the malformed pattern. */
  constructor(policies: readonly StoredPolicy[]) {
    const agents = new Set<string>()
    const paths = new Set<string>()
    for (const { id, json } of policies) {
      inPolicy(id, () => {
        for (const text of entityRefs(json, 'AgentGlob')) agents.add(checkAgentGlob(text))
        for (const text of entityRefs(json, 'PathGlob')) {
          parseGlobs(text)
          paths.add(text)
        }
      })
    }
    this.#patterns = new Patterns(policies)
    this.#agents = new GlobFamily(agents)
    this.#paths = new GlobFamily(paths)
  }

  /** The principal and the resource as Cedar entities with all their parents. */
  subjects(
    principal: PolicyPrincipal,
    resource: PolicyResource,
  ): { principal: Entity; resource: Entity } {
    const known = this.#principal(principal)
    return { principal: known.entity, resource: this.#object(known, resource) }
  }

  /**
   * Entities named in the context: asked only by the policies that look at them.
   *
   * @param more Patterns of policies that are not of this set.
   */
  surroundings(context: PolicyContext, more?: KnownPatterns): EntitySource {
    let args: Entity | undefined
    let nums: Entity | undefined
    return {
      get: (uid) => {
        if (uid.is(HOST)) return hostEntity(context)
        if (uid.is(ARGS)) {
          args ??= new Entity(ARGS, { tags: textTags(opened(context.args)) })
          return args
        }
        if (uid.is(NUMS)) {
          nums ??= new Entity(NUMS, { tags: numberTags(opened(context.nums)) })
          return nums
        }
        return undefined
      },
      isIn: (child, ancestor) => {
        if (child.is(HOST) && ancestor.type === 'HostGlob') {
          return (
            this.#patterns.holdsHost(ancestor, context) ||
            (more?.holdsHost(ancestor, context) ?? false)
          )
        }
        if (!child.is(CLOCK) || ancestor.type !== 'Window') return false
        return (
          this.#patterns.isOpen(ancestor, context) || (more?.isOpen(ancestor, context) ?? false)
        )
      },
    }
  }

  #principal(given: PolicyPrincipal): KnownPrincipal {
    const key = `${given.kind}:${given.id}`
    const known = this.#principals.get(key)
    if (known !== undefined && samePrincipal(known.given, given)) return known
    const parents = [new EntityUid('Role', given.role)]
    let paths: GlobIndex | undefined
    if (given.kind === 'agent') {
      for (const id of this.#agents.match(given.name)) parents.push(this.#uid('AgentGlob', id))
      paths = this.#paths.filledFor(given)
    }
    const attrs = new Map([['id', given.id]])
    if (given.kind === 'agent') attrs.set('role', given.role)
    const uid = new EntityUid(given.kind === 'agent' ? 'Agent' : 'Operator', given.name)
    const entity = new Entity(uid, { ancestors: parents, attrs, tags: textTags(given.meta) })
    // Kept as a copy: the caller's object may change later.
    const made = {
      given: { ...given, meta: { ...given.meta } },
      entity,
      paths,
      own: new RecentMap<string, KnownResource>(MAX_OWN_PATHS),
    }
    this.#principals.set(key, made)
    return made
  }

  #object(principal: KnownPrincipal, given: PolicyResource): Entity {
    switch (given.kind) {
      case 'system':
        return SYSTEM
      case 'tool':
        return this.#tool(given)
      case 'model':
        return this.#model(given)
      case 'agent':
        return this.#principal(given).entity
      case 'workflow': {
        const id = wellFormed(given.id)
        return new Entity(new EntityUid('Workflow', id), { attrs: new Map([['id', id]]) })
      }
      case 'knowledge':
        return knowledgeEntity(given)
      case 'credential':
        return this.#credential(principal, given)
    }
  }

  #tool(given: ToolResource): Entity {
    const id = wellFormed(`${given.tool}:${given.action}`)
    const known = this.#tools.get(id)
    if (known !== undefined && sameTool(known.given, given)) return known.entity
    const tool = wellFormed(given.tool)
    const entity = new Entity(new EntityUid('Tool', id), {
      ancestors: [new EntityUid('Tool', tool)],
      attrs: new Map<string, Value>([
        ['tool', tool],
        ['action', wellFormed(given.action)],
        ['digest', wellFormed(given.digest)],
        ['reviewed', given.reviewed],
        ['permissions', new CedarSet(given.permissions.map(wellFormed))],
        ['cost_micros', given.costMicros],
      ]),
    })
    this.#tools.set(id, { given: { ...given, permissions: [...given.permissions] }, entity })
    return entity
  }

  #model(given: ModelResource): Entity {
    const provider = wellFormed(given.provider)
    const model = wellFormed(given.model)
    const ref = `${provider}:${model}`
    const known = this.#models.get(ref)
    if (known !== undefined) return known
    const entity = new Entity(new EntityUid('Model', ref), {
      ancestors: [new EntityUid('Model', provider)],
      attrs: new Map<string, Value>([
        ['provider', provider],
        ['model', model],
        ['ref', ref],
      ]),
    })
    this.#models.set(ref, entity)
    return entity
  }

  #credential(
    principal: KnownPrincipal,
    given: Extract<PolicyResource, { kind: 'credential' }>,
  ): Entity {
    const own = principal.own.get(given.path)
    if (own !== undefined && sameResource(own, given)) return own.entity
    const personal = principal.paths?.match(given.path) ?? []
    if (personal.length === 0) {
      const known = this.#resources.get(given.path)
      if (known !== undefined && sameResource(known, given)) return known.entity
    }
    const globs = new Set([...this.#paths.match(given.path), ...personal])
    const attrs = new Map<string, Value>([
      ['path', given.path],
      ['tags', new CedarSet(given.tags.map(wellFormed))],
    ])
    if (given.type !== null) attrs.set('type', wellFormed(given.type))
    const entity = new Entity(new EntityUid('Credential', given.path), {
      ancestors: Array.from(globs, (id) => this.#uid('PathGlob', id)),
      attrs,
    })
    const made = { type: given.type, tags: [...given.tags], entity }
    if (personal.length === 0) this.#resources.set(given.path, made)
    else principal.own.set(given.path, made)
    return entity
  }

  /** One instance per pattern, so that its key is computed once. */
  #uid(type: 'AgentGlob' | 'PathGlob', id: string): EntityUid {
    const key = `${type}:${id}`
    let uid = this.#uids.get(key)
    if (uid === undefined) {
      uid = new EntityUid(type, id)
      this.#uids.set(key, uid)
    }
    return uid
  }
}

function newAction(name: string): Entity {
  const [own = name, ...groups] = withGroups(name)
  const ancestors = groups.map((group) => new EntityUid('Action', group))
  return new Entity(new EntityUid('Action', own), { ancestors })
}

/** Agent names have one segment, and a principal pattern that reads the principal is circular. */
function checkAgentGlob(text: string): string {
  for (const { segments, templated } of parseGlobs(text)) {
    if (!templated && segments.length === 1) continue
    throw new VestryError('POLICY_INVALID', `Pattern "${text}" can match no agent name`)
  }
  return text
}

function hostEntity({ target }: PolicyContext): Entity | undefined {
  if (target === undefined) return undefined
  const attrs = new Map<string, Value>([
    ['scheme', target.scheme],
    ['name', wellFormed(target.host)],
    ['port', target.port],
    ['path', wellFormed(target.path)],
  ])
  return new Entity(HOST, { attrs })
}

function textTags(data: Readonly<Record<string, string>>): CedarRecord {
  return new Map(Object.entries(data).map(([name, value]) => [wellFormed(name), wellFormed(value)]))
}

/** Fractions and integers that JSON may have rounded are left out. */
function numberTags(data: Readonly<Record<string, number>>): CedarRecord {
  const kept = Object.entries(data).filter(([, value]) => isLong(value))
  return new Map(kept.map(([name, value]) => [wellFormed(name), value + 0])) // −0 becomes 0
}

function samePrincipal(a: PolicyPrincipal, b: PolicyPrincipal): boolean {
  if (a.name !== b.name || a.role !== b.role) return false
  const keys = Object.keys(a.meta)
  return (
    keys.length === Object.keys(b.meta).length &&
    keys.every((key) => Object.hasOwn(b.meta, key) && a.meta[key] === b.meta[key])
  )
}

function sameTool(known: ToolResource, given: ToolResource): boolean {
  return (
    known.tool === given.tool &&
    known.action === given.action &&
    known.digest === given.digest &&
    known.reviewed === given.reviewed &&
    known.costMicros === given.costMicros &&
    sameList(known.permissions, given.permissions)
  )
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((member, i) => member === b[i])
}

function opened<T>(data: OpenData<T> | undefined): Readonly<Record<string, T>> {
  if (data === undefined) return {}
  return typeof data === 'function' ? data() : data
}

function sameResource(
  known: KnownResource,
  given: Extract<PolicyResource, { kind: 'credential' }>,
): boolean {
  return known.type === given.type && sameList(known.tags, given.tags)
}

function knowledgeEntity({ owner, sourceType, labels }: KnowledgeResource): Entity {
  const attrs = new Map<string, Value>([
    ['source_type', wellFormed(sourceType)],
    ['labels', new CedarSet(labels.map(wellFormed))],
  ])
  if (owner !== undefined) attrs.set('owner', new EntityUid('Agent', wellFormed(owner)))
  return new Entity(new EntityUid('Knowledge', wellFormed(owner ?? '')), { attrs })
}
