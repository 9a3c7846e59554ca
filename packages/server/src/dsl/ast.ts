/**
 * The tree of one source: what was written, in the order it was written, with the place of each part. Nothing here
 * is checked beyond the grammar. Places count code points from 1; `offset` counts UTF-16 units from 0.
 */

export interface Position {
  readonly offset: number
  readonly line: number
  readonly column: number
}

export interface Span {
  readonly start: Position
  /** After the last character. */
  readonly end: Position
}

interface Node {
  readonly span: Span
}

export interface Name extends Node {
  readonly text: string
}

/** The three dialects; a file may hold forms of several. */
export type Dialect = 'S' | 'R' | 'Q'

export interface Program extends Node {
  readonly items: readonly Item[]
  /** The dialects whose own forms were met. */
  readonly dialects: readonly Dialect[]
  /** In the order of the source, for the formatter. */
  readonly comments: readonly Comment[]
}

export interface Comment extends Node {
  readonly style: 'line' | 'block'
  /** Without its marks. */
  readonly text: string
  /** Nothing else stands before it on its line. */
  readonly ownLine: boolean
}

export type Item =
  | MetadataItem
  | AgentItem
  | PolicyItem
  | TypeItem
  | FunctionItem
  | ScheduleItem
  | ChannelItem
  | MemoryItem
  | WebhookItem
  | BehaviorItem

export interface Property extends Node {
  readonly name: Name
  /** As written between name and value: `=`, `:`, or nothing. */
  readonly separator: '=' | ':' | ''
  readonly value: Expression
}

export interface MetadataItem extends Node {
  readonly kind: 'metadata'
  readonly properties: readonly Property[]
}

export interface AgentItem extends Node {
  readonly kind: 'agent'
  readonly name: Name
  readonly params: readonly Param[]
  readonly returns: Type | undefined
  readonly body: readonly AgentPart[]
}

export type AgentPart =
  | AttributePart
  | CapabilitiesPart
  | TriggerPart
  | ActionPart
  | PolicyItem
  | FunctionItem
  | WithPart
  | BlockPart
  | BehaviorItem

/** `name: "Scout"` */
export interface AttributePart extends Node {
  readonly kind: 'attribute'
  readonly property: Property
}

export interface CapabilitiesPart extends Node {
  readonly kind: 'capabilities'
  readonly separator: '=' | ':'
  readonly value: Expression
}

export interface TriggerPart extends Node {
  readonly kind: 'trigger'
  readonly name: Name
  readonly properties: readonly Property[]
}

export interface ActionPart extends Node {
  readonly kind: 'action'
  readonly name: Name
  readonly params: readonly Param[]
  readonly returns: Type | undefined
  readonly block: Block
}

/** `with sandbox = "tier1", timeout = 20s { … }` */
export interface WithPart extends Node {
  readonly kind: 'with'
  readonly properties: readonly Property[]
  readonly block: Block
}

/** `resources { … }`, `security { … }`, `policies { … }` */
export interface BlockPart extends Node {
  readonly kind: 'resources' | 'security' | 'policies'
  readonly properties: readonly Property[]
}

export interface PolicyItem extends Node {
  readonly kind: 'policy'
  readonly name: Name
  readonly rules: readonly Rule[]
}

export interface Rule extends Node {
  readonly effect: 'allow' | 'deny' | 'require' | 'audit'
  readonly target: Expression
  readonly condition: Expression | undefined
}

export interface FunctionItem extends Node {
  readonly kind: 'function'
  readonly name: Name
  readonly params: readonly Param[]
  readonly returns: Type | undefined
  readonly block: Block
}

export interface BehaviorItem extends Node {
  readonly kind: 'behavior'
  readonly name: Name
  readonly input: readonly Param[]
  readonly output: readonly Param[]
  readonly steps: Block
}

export interface TypeItem extends Node {
  readonly kind: 'type' | 'struct'
  readonly name: Name
  /** Another name for this type, or the fields of a record. */
  readonly alias: Type | undefined
  readonly fields: readonly Param[]
}

export interface ScheduleItem extends Node {
  readonly kind: 'schedule'
  readonly name: Name
  readonly properties: readonly Property[]
}

export interface ChannelItem extends Node {
  readonly kind: 'channel'
  readonly name: Name
  readonly properties: readonly Property[]
  readonly policies: readonly PolicyItem[]
  readonly classification: readonly Property[]
}

export interface MemoryItem extends Node {
  readonly kind: 'memory'
  readonly name: Name
  readonly properties: readonly Property[]
  readonly search: readonly Property[]
}

export interface WebhookItem extends Node {
  readonly kind: 'webhook'
  readonly name: Name
  readonly properties: readonly Property[]
  readonly filter: readonly Property[]
}

export interface Param extends Node {
  readonly name: Name
  readonly type: Type
  readonly fallback: Expression | undefined
}

export interface Type extends Node {
  readonly name: Name
  readonly args: readonly Type[]
}

/** A trailing expression without an end mark is the value of the block. */
export interface Block extends Node {
  readonly statements: readonly Statement[]
  readonly value: Expression | undefined
}

export type Statement =
  | (Node & {
      readonly kind: 'let'
      readonly name: Name
      readonly type: Type | undefined
      readonly value: Expression
    })
  | (Node & {
      readonly kind: 'assign'
      readonly target: Expression
      readonly operator: '=' | '+=' | '-=' | '*=' | '/=' | '%='
      readonly value: Expression
    })
  | (Node & { readonly kind: 'return'; readonly value: Expression | undefined })
  | IfStatement
  | (Node & {
      readonly kind: 'for'
      readonly name: Name
      readonly list: Expression
      readonly block: Block
    })
  | (Node & {
      readonly kind: 'match'
      readonly subject: Expression
      readonly arms: readonly Arm[]
    })
  | (Node & {
      readonly kind: 'try'
      readonly block: Block
      readonly catches: readonly Catch[]
    })
  | (Node & { readonly kind: 'while'; readonly condition: Expression; readonly block: Block })
  | (Node & { readonly kind: 'require'; readonly capabilities: readonly Expression[] })
  | (Node & { readonly kind: 'break' | 'continue' })
  | (Node & { readonly kind: 'expression'; readonly expression: Expression })

export interface IfStatement extends Node {
  readonly kind: 'if'
  readonly condition: Condition
  readonly then: Block
  readonly otherwise: IfStatement | Block | undefined
}

/** `if x > 1`, or `if let Some(y) = x`. */
export type Condition =
  | { readonly kind: 'test'; readonly expression: Expression }
  | { readonly kind: 'pattern'; readonly pattern: Pattern; readonly value: Expression }

export interface Pattern extends Node {
  /** `_`, a name to bind, or a constructor such as `Some`. */
  readonly name: Name
  readonly args: readonly Pattern[] | undefined
}

export interface Arm extends Node {
  readonly pattern:
    | { readonly kind: 'literal'; readonly value: string | number | boolean }
    | { readonly kind: 'any' }
    | { readonly kind: 'name'; readonly name: Name }
  readonly body: Expression | Block
}

export interface Catch extends Node {
  /** `catch (TypeError e)` names a kind of error, `catch (e)` does not. */
  readonly type: Name | undefined
  readonly name: Name
  readonly block: Block
}

export type Expression =
  | (Node & { readonly kind: 'string'; readonly value: string })
  | (Node & { readonly kind: 'number'; readonly value: number })
  | (Node & { readonly kind: 'boolean'; readonly value: boolean })
  /** Milliseconds; a month has 30 days and a year 365. */
  | (Node & { readonly kind: 'duration'; readonly ms: number; readonly text: string })
  | (Node & { readonly kind: 'size'; readonly bytes: number; readonly text: string })
  /** `vault://db/password`, without its scheme. */
  | (Node & { readonly kind: 'secret'; readonly path: string })
  | (Node & { readonly kind: 'name'; readonly text: string })
  | (Node & { readonly kind: 'array'; readonly items: readonly Expression[] })
  | RecordExpression
  | (Node & { readonly kind: 'lambda'; readonly param: Name; readonly body: Expression })
  | (Node & { readonly kind: 'unary'; readonly operator: '!' | '-'; readonly operand: Expression })
  | (Node & {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    })
  | (Node & { readonly kind: 'member'; readonly object: Expression; readonly name: Name })
  | (Node & { readonly kind: 'index'; readonly object: Expression; readonly index: Expression })
  | (Node & {
      readonly kind: 'call'
      readonly callee: Expression
      readonly args: readonly Argument[]
    })
  | (Node & {
      readonly kind: 'conditional'
      readonly condition: Expression
      readonly then: Block
      readonly otherwise: Block
    })

export interface RecordExpression extends Node {
  readonly kind: 'record'
  /** Of `Ticket { id: 1 }`. */
  readonly type: Name | undefined
  readonly entries: readonly { readonly name: Name; readonly value: Expression }[]
}

export interface Argument extends Node {
  readonly name: Name | undefined
  readonly value: Expression
}

export type BinaryOperator =
  | '||'
  | '&&'
  | '=='
  | '!='
  | 'in'
  | '<'
  | '>'
  | '<='
  | '>='
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'
