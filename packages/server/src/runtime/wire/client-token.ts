/**
 * Access tokens that clients make themselves with a secret they share with us (HS256). The algorithm is ours to say,
 * never the token's. Keys of agents are the better way: whoever has this secret can be everybody.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import * as z from 'zod'

export interface ClientToken {
  readonly subject: string
  /** `admin` all, `write` what keys of agents may, `read` reading. */
  readonly grants: 'admin' | 'write' | 'read'
}

const ISSUER = 'symbiont'
const AUDIENCE = 'symbiont-api'
const LEEWAY_SECONDS = 30
const SHAPE = /^[\w-]{1,1024}\.[\w-]{1,8192}\.[\w-]{43}$/
const PERMISSIONS: Readonly<Record<string, readonly string[]>> = {
  admin: ['read', 'write', 'delete', 'admin', 'execute'],
  user: ['read', 'write', 'execute'],
  readonly: ['read'],
}

const Header = z.object({ alg: z.literal('HS256'), crit: z.undefined().optional() })
const Claims = z.object({
  sub: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$/),
  iss: z.literal(ISSUER),
  aud: z.union([z.literal(AUDIENCE), z.array(z.string()).refine((all) => all.includes(AUDIENCE))]),
  exp: z.number(),
  nbf: z.number().optional(),
  type: z.literal('access'),
  roles: z.array(z.string()).default([]),
  permissions: z.array(z.string()).optional(),
})

/** Whether it has the form of such a token; keys have one dot, these have two. */
export function isClientToken(token: string): boolean {
  return SHAPE.test(token)
}

/**
 * @param secret Borrowed.
 * @throws VestryError UNAUTHORIZED; TOKEN_EXPIRED only for what was valid once.
 */
export function readClientToken(token: string, secret: Uint8Array, nowMs: number): ClientToken {
  const [head = '', body = '', tag = ''] = token.split('.')
  const wanted = createHmac('sha256', secret).update(`${head}.${body}`).digest()
  const given = Buffer.from(tag, 'base64url')
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw refused()
  const claims = Claims.safeParse(json(body))
  if (!Header.safeParse(json(head)).success || !claims.success) throw refused()
  const { sub, exp, nbf, roles, permissions } = claims.data
  const nowSeconds = nowMs / 1_000
  if (nbf !== undefined && nowSeconds + LEEWAY_SECONDS < nbf) throw refused()
  if (nowSeconds - LEEWAY_SECONDS >= exp) throw new VestryError('TOKEN_EXPIRED')
  const ofRoles = new Set(
    roles.flatMap((role) => (Object.hasOwn(PERMISSIONS, role) ? (PERMISSIONS[role] ?? []) : [])),
  )
  // What a token lists beside its roles only narrows.
  const held = (name: string) => ofRoles.has(name) && (permissions?.includes(name) ?? true)
  if (held('admin') && held('write')) return { subject: sub, grants: 'admin' }
  if (held('write') || held('execute')) return { subject: sub, grants: 'write' }
  if (held('read')) return { subject: sub, grants: 'read' }
  throw refused()
}

function json(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}

function refused(): VestryError {
  return new VestryError('UNAUTHORIZED')
}
