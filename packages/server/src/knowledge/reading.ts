/** Finding knowledge, through the stations: what is handed out has been noted as read before. */
import { VestryError } from '@vestry/contract/errors'
import { type Note, perform } from '../call/perform.ts'
import {
  isAdministrator,
  mayUse,
  resourceOf,
  sightOf,
  type View,
  viewOf,
} from './access/visible.ts'
import { choosePassages, injectionSigns, type Passage, plainText } from './context/passages.ts'
import { classOf, type KnowledgeClass, type KnowledgeItem } from './item.ts'
import type { KnowledgeDeps } from './knowledge-deps.ts'
import type { Asking, Context, ContextOptions, SearchOptions } from './requests.ts'
import { type Found, searchItems } from './search/search.ts'
import { unknownItem } from './writing.ts'

const DEFAULTS = { limit: 10, threshold: 0.7, maxItems: 5 } as const
const MAX_LIMIT = 100
const MAX_PASSAGES = 50
const CONTEXT_FLOOR = 0.25
/** Passages that are looked at for each one that is taken. */
const CHOICE = 4
const CONVERSATION = 'conversation'

export interface Page {
  readonly items: readonly KnowledgeItem[]
  readonly total: number
}

export class Reading {
  readonly #deps: KnowledgeDeps

  constructor(deps: KnowledgeDeps) {
    this.#deps = deps
  }

  /** @throws VestryError VALIDATION_ERROR, AGENT_NOT_FOUND, ACCESS_DENIED, BACKEND_ERROR, STORE_UNAVAILABLE */
  async search(asking: Asking, query: string, options: SearchOptions = {}): Promise<Found> {
    const { limit = DEFAULTS.limit, threshold = DEFAULTS.threshold } = options
    assertWithin('limit', limit, 1, MAX_LIMIT)
    assertWithin('similarity_threshold', threshold, 0, 1)
    const view = await this.#view(asking, options.agentId)
    return this.#perform(asking, view, 'knowledge.search', async (classes, note) => {
      const of = within(classes, options.sourceTypes)
      const found = await searchItems(
        this.#search(),
        query,
        of,
        { limit, threshold },
        asking.signal,
      )
      await this.#read(
        asking,
        found.hits.flatMap(({ item }) => item.class.labels),
      )
      note({ found: found.total, returned: found.hits.length })
      return found
    })
  }

  /** Passages for a prompt. @throws as {@link search} */
  async context(asking: Asking, query: string, options: ContextOptions = {}): Promise<Context> {
    const { maxItems = DEFAULTS.maxItems, maxTokens, includeConversation = true } = options
    assertWithin('max_context_items', maxItems, 1, MAX_PASSAGES)
    if (maxTokens !== undefined) assertWithin('max_tokens', maxTokens, 1, 1_000_000)
    const view = await this.#view(asking, options.agentId)
    return this.#perform(asking, view, 'knowledge.context', async (classes, note) => {
      const of = within(classes, options.sourceTypes).filter(
        ({ sourceType }) => includeConversation || sourceType !== CONVERSATION,
      )
      const limits = { limit: Math.min(maxItems * CHOICE, MAX_LIMIT), threshold: CONTEXT_FLOOR }
      const { hits } = await searchItems(this.#search(), query, of, limits, asking.signal)
      const passages: Passage[] = hits.map(({ item, chunk, score }) => ({
        id: item.id,
        text: chunk.text,
        source: item.source,
        score,
        isConversation: item.class.sourceType === CONVERSATION,
        labels: item.class.labels,
      }))
      if (includeConversation) passages.push(...(await this.#remembered(asking, view, query)))
      const chosen = choosePassages(passages, { items: maxItems, tokens: maxTokens })
      await this.#read(
        asking,
        chosen.flatMap(({ labels }) => labels),
      )
      note({ returned: chosen.length })
      return {
        passages: chosen.map(({ id, text, source, score }) => ({
          id,
          text: plainText(text),
          source,
          score,
        })),
        warnings: chosen.flatMap(({ id, text }) =>
          injectionSigns(text).map((sign) => `${id}: ${sign}`),
        ),
      }
    })
  }

  /** @throws VestryError KNOWLEDGE_NOT_FOUND, also for what the caller may not see */
  async get(asking: Asking, id: string): Promise<KnowledgeItem> {
    const view = await this.#ownView(asking)
    return this.#perform(asking, view, 'knowledge.get', async (classes) => {
      const item = await this.#deps.items.get(id)
      if (item === undefined || !classes.some((one) => one.id === item.class.id))
        throw unknownItem(id)
      await this.#read(asking, item.class.labels)
      return item
    })
  }

  /** Newest first. */
  async list(
    asking: Asking,
    options: Pick<SearchOptions, 'agentId' | 'sourceTypes'>,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<Page> {
    const view =
      options.agentId === undefined
        ? await this.#ownView(asking)
        : await this.#view(asking, options.agentId)
    return this.#perform(asking, view, 'knowledge.list', async (classes) => {
      const ids = within(classes, options.sourceTypes).map(({ id }) => id)
      const found = await this.#deps.items.list(ids, page)
      await this.#read(
        asking,
        found.items.flatMap((item) => item.class.labels),
      )
      return found
    })
  }

  #search() {
    const { items, index, embedder, olderEmbedders, warn } = this.#deps
    return { items, index, embedders: () => [embedder(), ...olderEmbedders()], warn }
  }

  async #remembered(asking: Asking, view: View, query: string): Promise<Passage[]> {
    const { agent } = view
    const memory = this.#deps.memory()
    if (agent === undefined || memory === undefined) return []
    const { signal } = asking
    const all = await memory.recall({ agent: agent.name, query, limit: MAX_PASSAGES, signal })
    return all
      .filter(
        ({ score, labels }) =>
          score >= CONTEXT_FLOOR &&
          mayUse(
            this.#deps.stations,
            view,
            'knowledge:search',
            classOf(agent, CONVERSATION, labels),
          ),
      )
      .map((one) => ({ ...one, isConversation: true }))
  }

  #view({ caller }: Asking, named: string | undefined): Promise<View> {
    return viewOf(caller, named, (name) => this.#deps.agents.byName(name))
  }

  /** What may be asked for by id: an agent's own, too. */
  async #ownView({ caller }: Asking): Promise<View> {
    const { principal } = caller
    const agent = principal.kind === 'agent' ? principal.agent : undefined
    return { caller, agent, everything: isAdministrator(caller) }
  }

  /** It must be known that the transaction has read this before anybody gets it. */
  async #read({ caller }: Asking, labels: readonly string[]): Promise<void> {
    if (labels.length > 0) await this.#deps.stations.taint.add(caller.txn, [...new Set(labels)])
  }

  /** One decision for the call, about knowledge of the caller's own without labels, and one for each class. */
  #perform<T>(
    { caller, requestId }: Asking,
    view: View,
    event: string,
    effect: (classes: readonly KnowledgeClass[], note: Note) => Promise<T>,
  ): Promise<T> {
    const { stations, classes } = this.#deps
    const { principal } = caller
    const own = principal.kind === 'agent' ? principal.agent : undefined
    return perform<T>(stations, {
      caller,
      requestId,
      action: 'knowledge:search',
      event,
      source: 'runtime',
      resource: resourceOf(classOf(own, 'document', [])),
      context: { nowMs: stations.now(), transport: caller.peer.transport },
      detail: event,
      data: { as: view.agent?.name ?? null },
      readOnly: true,
      settle: async () => {
        const sight = sightOf({ stations }, view, (await classes.all()).values(), [])
        return {
          data: { classes: sight.seen, classes_refused: sight.refused },
          effect: (note) => {
            note({ classes: sight.seen, classes_refused: sight.refused })
            return effect(sight.classes, note)
          },
        }
      },
    })
  }
}

function within(
  classes: readonly KnowledgeClass[],
  sourceTypes: readonly string[] = [],
): readonly KnowledgeClass[] {
  if (sourceTypes.length === 0) return classes
  return classes.filter(({ sourceType }) => sourceTypes.includes(sourceType))
}

function assertWithin(name: string, value: number, from: number, to: number): void {
  if (value >= from && value <= to) return
  throw new VestryError('VALIDATION_ERROR', `${name}: must be from ${from} to ${to}`)
}
