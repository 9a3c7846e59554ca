/**
 * Finds the policies whose scope matches a request without looking at the others. Each policy is
 * filed under exactly one (resource, principal, action) key and each key is listed once for a
 * request, so a policy is met at most once.
 */
import type { CedarRequest, Entity } from './entity.ts'
import type { ActionScope, CompiledPolicy, EntityScope } from './policy.ts'
import type { EntityUid } from './value.ts'

type ByAction = Map<number, CompiledPolicy[]>
type ByPrincipal = Map<number, ByAction>

export class PolicyIndex {
  readonly #resources = new EntityKeys()
  readonly #principals = new EntityKeys()
  readonly #actions = new ActionKeys()
  readonly #tree = new Map<number, ByPrincipal>()
  /** The branches an entity reaches as resource. */
  readonly #branches = {
    compute: (resource: Entity): readonly ByPrincipal[] =>
      this.#resources.compute(resource).flatMap((key) => this.#tree.get(key) ?? []),
  }

  constructor(policies: Iterable<CompiledPolicy>) {
    for (const policy of policies) this.#file(policy)
  }

  /** In no particular order. */
  find({ principal, action, resource }: CedarRequest): CompiledPolicy[] {
    const found: CompiledPolicy[] = []
    const principalKeys = principal.memo(this.#principals)
    const actionKeys = action.memo(this.#actions)
    for (const branch of resource.memo(this.#branches)) {
      for (const principalKey of principalKeys) {
        const byAction = branch.get(principalKey)
        if (byAction === undefined) continue
        for (const actionKey of actionKeys) {
          const policies = byAction.get(actionKey)
          if (policies === undefined) continue
          for (const policy of policies) {
            if (typesMatch(policy, principal, resource)) found.push(policy)
          }
        }
      }
    }
    return found
  }

  #file(policy: CompiledPolicy): void {
    const { principal, action, resource } = policy.scope
    const actionKey = this.#actions.add(action)
    if (actionKey === undefined) return // `action in []` matches nothing
    const branch = getOrAdd(this.#tree, this.#resources.add(resource), () => new Map())
    const twig: ByAction = getOrAdd(branch, this.#principals.add(principal), () => new Map())
    getOrAdd(twig, actionKey, () => []).push(policy)
  }
}

/** `is T in E` is filed under `in E`; the type is checked here. */
function typesMatch(policy: CompiledPolicy, principal: Entity, resource: Entity): boolean {
  const scope = policy.scope
  if (scope.principal.op === 'isIn' && scope.principal.type !== principal.uid.type) return false
  return scope.resource.op !== 'isIn' || scope.resource.type === resource.uid.type
}

/** Numbers for the keys that occur in scopes: any, `== E`, `in E`, `is T`. */
class EntityKeys {
  readonly #equal = new Map<string, number>()
  readonly #within = new Map<string, number>()
  readonly #ofType = new Map<string, number>()
  #next = 1 // 0 is "any"

  add(scope: EntityScope): number {
    switch (scope.op) {
      case 'all':
        return 0
      case 'eq':
        return this.#number(this.#equal, scope.entity.key)
      case 'in':
      case 'isIn':
        return this.#number(this.#within, scope.entity.key)
      case 'is':
        return this.#number(this.#ofType, scope.type)
    }
  }

  /** The keys an entity answers to, each once. */
  compute(entity: Entity): number[] {
    const keys = [0]
    collect(keys, this.#equal.get(entity.uid.key))
    collect(keys, this.#ofType.get(entity.uid.type))
    collect(keys, this.#within.get(entity.uid.key)) // `in` is reflexive
    for (const ancestor of entity.ancestors) collect(keys, this.#within.get(ancestor.key))
    return keys
  }

  #number(numbers: Map<string, number>, key: string): number {
    return getOrAdd(numbers, key, () => this.#next++)
  }
}

/** The same for actions; a whole list `in [A, B]` is one key. */
class ActionKeys {
  readonly #equal = new Map<string, number>()
  readonly #lists = new Map<string, number>()
  readonly #within = new Map<string, Set<number>>()
  #next = 1

  add(scope: ActionScope): number | undefined {
    switch (scope.op) {
      case 'all':
        return 0
      case 'eq':
        return getOrAdd(this.#equal, scope.entity.key, () => this.#next++)
      case 'in':
        return scope.entities.length === 0 ? undefined : this.#addList(scope.entities)
    }
  }

  compute(action: Entity): number[] {
    const keys = [0]
    collect(keys, this.#equal.get(action.uid.key))
    for (const uid of [action.uid, ...action.ancestors]) {
      for (const key of this.#within.get(uid.key) ?? []) collect(keys, key)
    }
    return keys
  }

  #addList(entities: readonly EntityUid[]): number {
    const members = [...new Set(entities.map((uid) => uid.key))].sort()
    const number = getOrAdd(this.#lists, JSON.stringify(members), () => this.#next++)
    for (const member of members) getOrAdd(this.#within, member, () => new Set()).add(number)
    return number
  }
}

/** The lists are short, so looking through them beats a set. */
function collect(keys: number[], key: number | undefined): void {
  if (key !== undefined && !keys.includes(key)) keys.push(key)
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
