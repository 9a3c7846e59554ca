/** Puts inputs, outputs and messages into attributes, as far as they may be told. */
import type { Attributes } from './attributes.ts'
import { type ChatMessage, MAX_MESSAGES } from './chat-messages.ts'
import { type CoatEvent, members } from './coat-event.ts'
import type { Told } from './content.ts'
import { GEN_AI, HIDDEN, OI } from './semconv.ts'
import type { Value, ValueMap } from './value.ts'

type Side = 'input' | 'output'

/** Whether the event has a captured value of this name, or a part of `preview` of it. */
export function captured(event: CoatEvent | undefined, name: string): boolean {
  const { payload } = event ?? {}
  return payload?.[name] !== undefined || members(payload?.['preview'])?.[name] !== undefined
}

/** `input.value` or `output.value` with its type; the placeholder where there is one that may not be told. */
export function setIo(
  into: Attributes,
  side: Side,
  told: Told,
  has: boolean,
  value: unknown,
): void {
  if (!has) return
  const name = side === 'input' ? OI.input : OI.output
  if (isHidden(side, told) || value === undefined) {
    into.set(name, HIDDEN)
    return
  }
  into.set(name, asText(value))
  into.set(
    side === 'input' ? OI.inputType : OI.outputType,
    typeof value === 'string' ? 'text/plain' : 'application/json',
  )
}

export function isHidden(side: Side, { open, hidden }: Told): boolean {
  return !open || (side === 'input' ? hidden.inputs : hidden.outputs)
}

/** The arguments of a call, without wrapping where there is only one. */
export function callInput(preview: unknown): unknown {
  const { args, kwargs } = members(preview) ?? {}
  const positional = Array.isArray(args) ? args : []
  const named = members(kwargs) ?? {}
  const hasNamed = Object.keys(named).length > 0
  if (positional.length === 0) return hasNamed ? named : undefined
  if (hasNamed) return { args: positional, kwargs: named }
  return positional.length === 1 ? positional[0] : positional
}

export function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

/** Both vocabularies. @param structured On log records `gen_ai` messages keep their structure. */
export function setMessages(
  into: Attributes,
  side: Side,
  told: Told,
  messages: readonly ChatMessage[],
  structured: boolean,
): void {
  const { hidden } = told
  const inputs = side === 'input'
  // The roles of messages are told even where their text is not; of hidden messages, nothing.
  if (inputs ? hidden.inputs || hidden.inputMessages : hidden.outputs || hidden.outputMessages)
    return
  const noText = inputs ? hidden.inputText : hidden.outputText
  const kept = messages.slice(0, MAX_MESSAGES)
  into.countDropped(messages.length - kept.length)
  const prefix = inputs ? OI.inputMessages : OI.outputMessages
  for (const [index, { role, content, toolCalls = [] }] of kept.entries()) {
    const at = `${prefix}.${index}.`
    into.set(at + OI.role, role)
    if (content !== undefined && told.open) into.set(at + OI.content, noText ? HIDDEN : content)
    for (const [number, { id, name }] of toolCalls.entries()) {
      into.set(`${at}${OI.toolCalls}.${number}.${OI.toolCallId}`, id)
      into.set(`${at}${OI.toolCalls}.${number}.${OI.toolCallName}`, name)
    }
  }
  if (!told.open || noText || kept.length === 0) return
  const whole = kept.map(partsOf)
  const name = inputs ? GEN_AI.inputMessages : GEN_AI.outputMessages
  into.set(name, structured ? whole : JSON.stringify(whole))
}

function partsOf({ role, content, toolCalls = [] }: ChatMessage): ValueMap {
  const parts: Value[] = content === undefined ? [] : [{ type: 'text', content }]
  for (const { id, name } of toolCalls)
    parts.push({
      type: 'tool_call',
      ...(id !== undefined && { id }),
      ...(name !== undefined && { name }),
    })
  return { role, parts }
}
