/** What a rule is given and what it gives; one rule per file in `rules/`. */
import type { TokenJson, TokenObject } from '../../json/raw-number.ts'
import type { ToolDocument } from '../tool-document.ts'
import type { Category, Severity } from './finding.ts'

/** Where a text stands. `description` is the tool's own; `text` any other prose; `value` what a caller or model sends. */
export type TargetKind =
  | 'tool_name'
  | 'description'
  | 'provider_name'
  | 'provider_url'
  | 'property_name'
  | 'property_description'
  | 'title'
  | 'comment'
  | 'value'
  | 'pattern'
  | 'format'
  | 'ref'

/** One text of the tool, and how it looks to a model, to a person and to a machine. Views are made when asked for, once. */
export interface Target {
  /** JSON pointer into the tool. */
  readonly location: string
  readonly kind: TargetKind
  readonly raw: string
  /**
   * All ways to read it, each once: raw, NFKC, without invisible characters, lower case, confusables folded to
   * Latin, and what was encoded in it (base64, hex, percent, entities). HTML and Markdown comments stay in.
   */
  readonly views: readonly string[]
  /** Letters and digits only, folded and lower case: `i-g-n-o-r-e` is `ignore`. */
  readonly compact: string
  /** Some of it is spelt out in pieces, as in the example above; only then `compact` is worth a look. */
  readonly spelt: boolean
}

/** What a parameter is used for, by its name or what is said of it. */
export type Sink =
  | 'command'
  | 'code'
  | 'path'
  | 'url'
  | 'host'
  | 'email'
  | 'query'
  | 'template'
  | 'credential'

/** A property at any depth of the schema. */
export interface Param {
  readonly location: string
  readonly name: string
  /** `bypassAuth-check` is `bypass auth check`. */
  readonly words: readonly string[]
  readonly description: string
  readonly schema: TokenObject
  readonly depth: number
  readonly required: boolean
  readonly types: readonly string[]
  readonly sinks: ReadonlySet<Sink>
  /**
   * A text that cannot be anything: `enum`, `const`, a `format` that is enforced, or an anchored `pattern` that does
   * not accept arbitrary text; and no longer than 4 096 characters.
   */
  readonly constrained: boolean
  readonly hasEnum: boolean
  readonly defaultValue: TokenJson | undefined
}

export interface Subject {
  readonly tool: ToolDocument
  readonly targets: readonly Target[]
  readonly params: readonly Param[]
  /** Of the schema: arrays and objects within each other, number of properties, bytes of canonical text. */
  readonly size: { readonly depth: number; readonly properties: number; readonly bytes: number }
  /** Top-level keywords that the schema has beyond `type`, `properties` and `required`. */
  readonly extraKeywords: readonly string[]
}

/** What is known beside the tool itself. Empty where nothing is. */
export interface Surroundings {
  /** Other tools that are approved, signed, listed by MCP servers or built in. */
  readonly knownTools: readonly KnownTool[]
  /** Documents of the same name and provider that were approved or signed before, newest first. */
  readonly earlier: readonly ToolDocument[]
  readonly knownProviders: readonly string[]
  /** What was found at `provider.public_key_url`. */
  readonly providerKey: ProviderKey
}

export interface KnownTool {
  readonly name: string
  /** `null` for a built-in tool. */
  readonly provider: string | null
}

export type ProviderKey =
  | { readonly state: 'absent' | 'unreachable' | 'not_a_key' | 'not_asked' }
  | { readonly state: 'refused'; readonly reason: string }
  | { readonly state: 'known'; readonly fingerprint: string }
  | { readonly state: 'differs_from_pin' | 'revoked'; readonly fingerprint: string }

export interface Hit {
  readonly location: string
  readonly severity: Severity
  /** 0 to 1. */
  readonly confidence: number
  /** What was found there, in a sentence. */
  readonly description: string
  /** Raw; it is escaped and cut where it becomes a finding. */
  readonly evidence: string
}

export interface Rule {
  /** `SI-001` */
  readonly id: string
  readonly category: Category
  readonly title: string
  /** Why it matters, for who reads the rules. */
  readonly reason: string
  /** What the author of the tool should do. */
  readonly recommendation: string
  /** All of them, in any order; at most a few hundred. */
  readonly find: (subject: Subject, around: Surroundings) => Iterable<Hit>
  /** Tested: the first must be found by this rule, the second must not. */
  readonly examples: { readonly hit: RuleExample; readonly nearMiss: RuleExample }
}

/** A tool as somebody would submit it, and what is known beside it. */
export interface RuleExample {
  readonly tool: {
    readonly name: string
    readonly description: string
    readonly schema?: TokenObject
    readonly provider?: { readonly name: string; readonly public_key_url?: string | null }
  }
  readonly around?: Partial<Surroundings>
}
