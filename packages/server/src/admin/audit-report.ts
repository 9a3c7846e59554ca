/** The report of a verification as replies tell it; also when it was made without a daemon. Pure. */
import type { VerifyReport } from '../audit/verify.ts'

export function describeReport(report: VerifyReport) {
  const { firstSeq, lastSeq, lastHash, firstTime, lastTime, bad, torn, problem } = report
  const { checkedAgainst, statement } = report.truncation
  return {
    status: report.status,
    entries: report.entries,
    segments: report.segments,
    chain: report.chain ?? null,
    first_seq: firstSeq ?? null,
    last_seq: lastSeq ?? null,
    last_hash: lastHash ?? null,
    first_time: firstTime ?? null,
    last_time: lastTime ?? null,
    checkpoints: report.checkpoints,
    signatures: report.signatures,
    bad: bad ?? null,
    torn: torn ?? null,
    truncation: { checked_against: checkedAgainst, statement },
    problem: problem ?? null,
  }
}
