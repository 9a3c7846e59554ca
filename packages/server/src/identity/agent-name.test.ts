import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assertAgentName, freeName, isAgentName, isVaultName, slug } from './agent-name.ts'

describe('names', () => {
  it('log in to the vault only in its narrower grammar', () => {
    for (const name of ['scout', 'S', '0', 'a_b-c', 'x'.repeat(64)]) {
      expect(isVaultName(name), name).toBe(true)
      expect(isAgentName(name), name).toBe(true)
    }
    for (const name of ['team:bot@1.2', 'a.b', 'x'.repeat(128)]) {
      expect(isVaultName(name), name).toBe(false)
      expect(isAgentName(name), name).toBe(true)
    }
  })

  it('never carry path separators, white space, control characters or other alphabets', () => {
    for (const name of ['', '-a', '_a', '.', '..', 'a/b', 'a\\b', 'a b', 'a\n', 'a\0', 'é', 'a~b'])
      expect(() => assertAgentName(name), name).toThrow('malformed')
    expect(isAgentName('x'.repeat(129))).toBe(false)
  })

  it('leave out the words that are routes', () => {
    expect(() => assertAgentName('deployments')).toThrow('reserved')
    expect(isVaultName('deploy')).toBe(false)
  })

  it('leave out the owners of MCP servers’ secrets', () => {
    expect(() => assertAgentName('mcp:crm')).toThrow('reserved')
    expect(isAgentName('mcp-crm')).toBe(true)
  })
})

describe('slugs', () => {
  it('keep what a reader recognises', () => {
    expect(slug('Lead Bot (EU)')).toBe('lead-bot-eu')
    expect(slug('  Zoë’s Ünit ')).toBe('zoe-s-unit')
    expect(slug('調査')).toBe('agent')
  })

  it('take the next free number', () => {
    const taken = new Set(['lead-bot', 'lead-bot-2'])
    expect(freeName('Lead Bot', (name) => taken.has(name))).toBe('lead-bot-3')
    expect(freeName('deploy', () => false)).toBe('deploy-2')
  })

  it('are vault names whatever was typed', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), fc.nat(3), (text, busy) => {
        let left = busy
        expect(isVaultName(freeName(text, () => left-- > 0))).toBe(true)
      }),
    )
  })
})
