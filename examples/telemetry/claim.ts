/**
 * Says once who this process is; from then on its events say so, too, although nothing in them does. Environment, as
 * `vestry exec` sets it: ENVPOD_POD_ID, ENVPOD_SOCKET, ENVPOD_IDENTITY_SOCKET.
 */
import { coat, flush, Op } from '@vestry/coat'
import { InPodClient } from '@vestry/sdk/pod'

const review = coat(Op.LLM, async function review(code: string) {
  return `${code.split('\n').length} lines, none of them wrong`
})

export async function claimAndReview(code: string): Promise<{ claimId: string; review: string }> {
  let claimId: string
  {
    await using pod = new InPodClient()
    const claim = await pod.claim('reviewer', { ttlSecs: 3_600 }) // claim first
    claimId = claim.claim_id
  } // the client is closed, and the claim stays: it is the process's

  const result = await review(code)
  await flush(2_000)
  return { claimId, review: result }
}

if (import.meta.main) console.log(JSON.stringify(await claimAndReview('let a = 1\nlet b = 2')))
