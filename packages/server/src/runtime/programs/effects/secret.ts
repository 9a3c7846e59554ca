/** `secret(name)` and `verify_hmac_sha256(body, secret, sig)`: where a secret is, and a check that opens it for itself. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { type EffectCall, SecretRef, type Value } from '../../../dsl/host.ts'
import { argument, textArgument, wrong } from '../arguments.ts'
import { effectStep, gated, type ProgramRun } from '../program-run.ts'

/** No step: nothing is opened, and a reference must not be written down as if it were a value. */
export async function secret(run: ProgramRun, call: EffectCall): Promise<Value> {
  const name = textArgument(call, 'name', 0)
  await gated(run, call, { op: 'secret', name, args: { name } })
  return new SecretRef(name)
}

export async function verifyHmac(run: ProgramRun, call: EffectCall): Promise<Value> {
  const body = textArgument(call, 'body', 0)
  const key = argument(call, 'secret', 1)
  const signature = textArgument(call, 'sig', 2)
  if (typeof key === 'string')
    return effectStep(run, call, { repeatable: true }, async () => matches(body, key, signature))
  if (!(key instanceof SecretRef)) throw wrong(call, 'secret must be text or a secret')
  const operation = { op: 'secret', name: key.name, args: { name: key.name } } as const
  return effectStep(run, call, { repeatable: true, operation }, async (caller) => {
    const { agent, doors } = run
    using opened = await doors.openSecret({
      agent,
      caller,
      requestId: doors.newRequestId(),
      secret: key,
    })
    const isRight = matches(body, opened.bytes, signature)
    return isRight
  })
}

/** Hex, with or without the name of the algorithm before it; how much of it is right takes no other time to tell. */
function matches(body: string, key: string | Uint8Array, signature: string): boolean {
  const wanted = createHmac('sha256', key).update(body, 'utf8').digest()
  const text = signature.trim().replace(/^sha256=/i, '')
  const given = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.alloc(32)
  return timingSafeEqual(wanted, given) && text.length === 64
}
