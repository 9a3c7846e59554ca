/** What the evaluator knows about entities: listed ones, and a source that is asked on demand. */
import type { CedarRecord, EntityUid } from './value.ts'

const NOTHING: CedarRecord = new Map()

export interface EntityParts {
  /** Every ancestor, transitively, the entity itself left out. */
  ancestors?: Iterable<EntityUid>
  attrs?: CedarRecord
  tags?: CedarRecord
}

/**
 * One entity, never changed. Make it once and keep it: a compiled set notes on the instance which
 * index keys it has. Strings inside must be well-formed Unicode (no lone surrogates).
 */
export class Entity {
  readonly uid: EntityUid
  readonly ancestors: readonly EntityUid[]
  readonly attrs: CedarRecord
  readonly tags: CedarRecord
  #ancestorKeys: Set<string> | undefined
  #memoOwner: unknown
  #memo: unknown

  constructor(uid: EntityUid, parts: EntityParts = {}) {
    this.uid = uid
    this.ancestors = parts.ancestors === undefined ? [] : [...parts.ancestors]
    this.attrs = parts.attrs ?? NOTHING
    this.tags = parts.tags ?? NOTHING
  }

  /** Whether `ancestor` is listed; an entity is not its own ancestor here. */
  isUnder(ancestor: EntityUid): boolean {
    this.#ancestorKeys ??= new Set(this.ancestors.map((uid) => uid.key))
    return this.#ancestorKeys.has(ancestor.key)
  }

  /**
   * What `owner` worked out about this entity, computed when it last changed hands. One slot is
   * enough, since an entity plays one part in one policy set at a time; and unlike a WeakMap it
   * costs the garbage collector nothing when entities live for one request.
   */
  memo<T>(owner: { compute(entity: Entity): T }): T {
    if (this.#memoOwner !== owner) {
      this.#memo = owner.compute(this)
      this.#memoOwner = owner
    }
    return this.#memo as T // computed by this very owner
  }
}

/**
 * Answers for the entities that the request itself does not carry, for example a host named in
 * the context. An entity that is not known has no attributes, no tags and no ancestors.
 */
export interface EntitySource {
  get(uid: EntityUid): Entity | undefined
  /** Asked only for two different entities; membership may follow a rule instead of a list. */
  isIn(child: EntityUid, ancestor: EntityUid): boolean
}

/** A source that knows exactly the listed entities. */
export class EntityMap implements EntitySource {
  readonly #entities: ReadonlyMap<string, Entity>

  constructor(entities: Iterable<Entity> = []) {
    this.#entities = new Map(Array.from(entities, (entity) => [entity.uid.key, entity]))
  }

  get(uid: EntityUid): Entity | undefined {
    return this.#entities.get(uid.key)
  }

  isIn(child: EntityUid, ancestor: EntityUid): boolean {
    return this.get(child)?.isUnder(ancestor) ?? false
  }
}

export interface CedarRequest {
  principal: Entity
  action: Entity
  resource: Entity
  /** Strings inside must be well-formed Unicode. */
  context: CedarRecord
}

/** One request with its entities: what conditions are evaluated against. */
export class EvalContext {
  readonly principal: Entity
  readonly action: Entity
  readonly resource: Entity
  readonly context: CedarRecord
  readonly #source: EntitySource

  constructor(request: CedarRequest, source: EntitySource) {
    this.principal = request.principal
    this.action = request.action
    this.resource = request.resource
    this.context = request.context
    this.#source = source
  }

  /** The request's own three entities win over the source. */
  find(uid: EntityUid): Entity | undefined {
    return this.#own(uid) ?? this.#source.get(uid)
  }

  /** Cedar's `in` for one ancestor: reflexive and transitive. */
  isIn(child: EntityUid, ancestor: EntityUid): boolean {
    if (child.is(ancestor)) return true
    const own = this.#own(child)
    return own === undefined ? this.#source.isIn(child, ancestor) : own.isUnder(ancestor)
  }

  #own(uid: EntityUid): Entity | undefined {
    if (uid.is(this.principal.uid)) return this.principal
    if (uid.is(this.resource.uid)) return this.resource
    return uid.is(this.action.uid) ? this.action : undefined
  }
}
