/** What the scanner looks for. A fixed list: the same weakness has the same name in every report. */

export const RULES = {
  'command-injection': { title: 'Command built from input', cwe: 'CWE-78' },
  'code-injection': { title: 'Code built from input', cwe: 'CWE-94' },
  'sql-injection': { title: 'SQL built from input', cwe: 'CWE-89' },
  'path-traversal': { title: 'Path built from input', cwe: 'CWE-22' },
  'cross-site-scripting': { title: 'Input in a page', cwe: 'CWE-79' },
  'request-forgery': { title: 'Request to an address from input', cwe: 'CWE-918' },
  'unsafe-deserialization': { title: 'Untrusted data is deserialised', cwe: 'CWE-502' },
  'hard-coded-secret': { title: 'Secret in the source', cwe: 'CWE-798' },
  'weak-hash': { title: 'Broken hash function', cwe: 'CWE-327' },
  'tls-not-verified': { title: 'Peer is not verified', cwe: 'CWE-295' },
  'missing-authorization': { title: 'Missing authorisation', cwe: 'CWE-862' },
  other: { title: 'Other weakness', cwe: '' },
} as const

export type Rule = keyof typeof RULES
