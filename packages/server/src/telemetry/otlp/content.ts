/**
 * Which captured values may leave the host: only where the operator asked for content and the producer captured
 * it in readable form; whoever set OPENINFERENCE_HIDE_… on the host takes more away.
 */
import { type CoatEvent, members, type Payload } from './coat-event.ts'

export type ContentSetting = false | 'redacted' | 'raw'

/** What the host's environment hides on top. */
export interface Hidden {
  readonly inputs: boolean
  readonly outputs: boolean
  readonly inputMessages: boolean
  readonly outputMessages: boolean
  readonly inputText: boolean
  readonly outputText: boolean
  readonly parameters: boolean
  readonly tools: boolean
}

/** The variables and what each of them hides here. Images, vectors and prompts are never exported. */
export const HIDE_VARIABLES: Readonly<Record<string, keyof Hidden>> = {
  OPENINFERENCE_HIDE_INPUTS: 'inputs',
  OPENINFERENCE_HIDE_OUTPUTS: 'outputs',
  OPENINFERENCE_HIDE_INPUT_MESSAGES: 'inputMessages',
  OPENINFERENCE_HIDE_OUTPUT_MESSAGES: 'outputMessages',
  OPENINFERENCE_HIDE_INPUT_TEXT: 'inputText',
  OPENINFERENCE_HIDE_OUTPUT_TEXT: 'outputText',
  OPENINFERENCE_HIDE_LLM_INVOCATION_PARAMETERS: 'parameters',
  OPENINFERENCE_HIDE_LLM_TOOLS: 'tools',
}

export function hiddenBy(env: Readonly<Record<string, string | undefined>>): Hidden {
  const hides = (variable: string): boolean =>
    ['true', '1', 'yes', 'on'].includes(env[variable]?.trim().toLowerCase() ?? '')
  const entries = Object.entries(HIDE_VARIABLES).map(([name, member]) => [member, hides(name)])
  return Object.fromEntries(entries) as unknown as Hidden
}

export interface ContentRules {
  readonly content: ContentSetting
  readonly hidden: Hidden
  /** Keys and patterns, as the collector knows them: for what was captured raw. */
  readonly redact: (value: unknown) => unknown
}

/** The captured values of one event, as far as they may be told. */
export interface Told {
  /** Content is told at all. */
  readonly open: boolean
  readonly hidden: Hidden
  /** @returns undefined when there is none, or it may not be told: see {@link Told.has}. */
  value(name: string): unknown
  /** The event has such a value, told or not. */
  has(name: string): boolean
}

/** The host has not looked through what was captured raw: it does so here, at values and names, before they leave. */
export function screened(event: CoatEvent, { content, redact }: ContentRules): CoatEvent {
  if (event.mode !== 'raw' || content === 'raw') return event
  return { ...event, payload: members(redact(event.payload)) ?? {} }
}

/** @param event As {@link screened}. Absent: there is nothing to tell. */
export function toldOf(event: CoatEvent | undefined, rules: ContentRules): Told {
  const { content, hidden } = rules
  const readable = event?.mode === 'redacted' || event?.mode === 'raw'
  const open = content !== false && readable
  const payload: Payload = event?.payload ?? {}
  return {
    open,
    hidden,
    has: (name) => payload[name] !== undefined,
    value: (name) => (open ? payload[name] : undefined),
  }
}
