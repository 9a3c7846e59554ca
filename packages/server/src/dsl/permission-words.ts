/** Permissions in plain words, for who decides whether a program may have them. */
import type { Permission, Permissions } from './permissions.ts'

/** `call tool notes:append`, after "may", "may no longer", "must not". */
export function deedOf({ kind, name, access }: Permission): string {
  const any = name === '*'
  const what = shown(name)
  switch (kind) {
    case 'tool':
    case 'mcp': {
      const word = kind === 'mcp' ? 'MCP tool' : 'tool'
      if (any) return `call any ${word}`
      return name.endsWith(':*')
        ? `call every ${word} of ${shown(name.slice(0, -2))}`
        : `call ${word} ${what}`
    }
    case 'model':
      if (any) return 'use any model'
      return name.endsWith(':*')
        ? `use every model of ${shown(name.slice(0, -2))}`
        : `use model ${what}`
    case 'credential':
      return any ? 'use any credential' : `use credential ${what}`
    case 'secret':
      return any ? 'use any of its secrets' : `use its secret ${what}`
    case 'host': {
      const reach = any ? 'reach any host' : `reach host ${what}`
      return access === 'cleartext' ? `${reach}, also without encryption` : reach
    }
    case 'knowledge':
      return knowledgeDeed(name, access)
    case 'agent':
      return any ? 'start any agent' : `start agent ${what}`
    case 'workflow':
      return any ? 'start any workflow' : `start workflow ${what}`
  }
}

function knowledgeDeed(name: string, access: string | undefined): string {
  const verb = access === 'write' ? 'write' : access === 'read' ? 'read' : 'read or write'
  if (name === '*') return `${verb} any knowledge`
  if (name === 'own') return `${verb} its own knowledge`
  return name === 'shared'
    ? `${verb} shared knowledge`
    : `${verb} knowledge labelled ${shown(name)}`
}

/** ` if ticket.size <= 4096`; nothing where there is no condition. */
export function conditionOf({ conditions }: Permission, rules: Permissions['rules']): string {
  if (conditions.length === 0) return ''
  const texts = conditions.map((id) => conditionText(id, rules))
  return ` if ${texts.join(' and ')}`
}

/** What a condition is compared by: two rules of one text are the same, however they are named. */
export function conditionText(id: string, rules: Permissions['rules']): string {
  const text = Object.hasOwn(rules, id) ? rules[id] : undefined
  return text === undefined || text === '' ? `rule ${shown(id)} holds` : oneLine(text)
}

/** In quotes as soon as it holds anything that could be read as more than a name. */
function shown(name: string): string {
  return /^[A-Za-z0-9._:/@*%+-]{1,128}$/.test(name) ? name : `"${oneLine(name)}"`
}

/** Nothing of it breaks the line or turns the text around. */
export function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (char) => {
    if (char === '"' || char === '\\') return `\\${char}`
    return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
  })
}
