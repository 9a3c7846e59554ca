/** A tool on its way: submitted, analysed, decided, signed, and the signature checked. */
import {
  type Client,
  type FindingSeverity,
  type HumanReviewDecision,
  type ReviewSession,
  ReviewStatus,
  type SecurityFinding,
  type SignedTool,
  TimeoutError,
  type Tool,
  toDate,
} from '@vestry/sdk/runtime'

export const calculator: Tool = {
  name: 'example-calculator',
  description: 'A simple calculator tool',
  schema: {
    type: 'object',
    properties: {
      operation: { type: 'string', enum: ['add', 'subtract', 'multiply', 'divide'] },
      a: { type: 'number' },
      b: { type: 'number' },
    },
    required: ['operation', 'a', 'b'],
  },
  provider: { name: 'example-provider', public_key_url: 'https://example.com/pubkey.pem' },
}

export async function submit(client: Client, tool: Tool) {
  const session = await client.submitToolForReview({
    tool,
    submitted_by: 'developer@example.com',
    priority: 'normal',
  })
  return session.review_id
}

/** @returns undefined while the analysis goes on. */
export async function progress(client: Client, reviewId: string) {
  const session = await client.getReviewSession(reviewId)
  const { analysis_id: analysisId, analysis_completed_at: completedAt } = session.state
  if (!analysisId || !completedAt) return undefined
  const analysis = await client.getAnalysisResults(analysisId)
  return [
    `Review status: ${session.status}`,
    `Submitted by: ${session.submitted_by}`,
    `Risk score: ${analysis.risk_score}/100`,
    `Found ${analysis.findings.length} security findings`,
    ...analysis.findings.map(({ severity, title }) => `- ${severity.toUpperCase()}: ${title}`),
  ]
}

export async function list(client: Client) {
  const { sessions, pagination } = await client.listReviewSessions({
    page: 1,
    limit: 10,
    status: ReviewStatus.PENDING_REVIEW,
    author: 'developer@example.com',
  })
  const lines = sessions.map(
    (session) => `- ${session.review_id}: ${session.tool.name} (${session.status})`,
  )
  return [`Found ${pagination.total} sessions`, ...lines]
}

export async function wait(client: Client, reviewId: string, timeoutSeconds = 300) {
  try {
    const session = await client.waitForReviewCompletion(reviewId, { timeoutSeconds })
    if (session.status === ReviewStatus.REJECTED) return 'Tool rejected. Check review comments.'
    return 'Tool approved for signing!'
  } catch (error) {
    if (error instanceof TimeoutError) return 'Review did not complete within timeout period'
    throw error
  }
}

export async function decide(client: Client, reviewId: string) {
  const decision: HumanReviewDecision = {
    decision: 'approve',
    comments: 'Tool looks safe after manual review',
    reviewer_id: 'reviewer@example.com',
  }
  return client.submitHumanReviewDecision(reviewId, decision)
}

export async function sign(client: Client, reviewId: string, keyId: string): Promise<SignedTool> {
  const signature = await client.signApprovedTool({ review_id: reviewId, signing_key_id: keyId })
  const signed = await client.getSignedTool(reviewId)
  if (signed.signature !== signature.signature) throw new Error('two signatures of one tool')
  return signed
}

/** Whether the server that signed still stands by it. */
export async function verify(client: Client, { review_id, tool, signature }: SignedTool) {
  const { valid, code } = await client.verifyTool({ review_id, tool, signature })
  return valid ? 'valid' : `not valid: ${code}`
}

export async function inspectFindings(client: Client, reviewId: string) {
  const session: ReviewSession = await client.getReviewSession(reviewId)
  const submitted: Date = toDate(session.submitted_at)
  const found = session.state.critical_findings.map((finding: SecurityFinding) => {
    const severity: FindingSeverity = finding.severity
    const confidence: number = finding.confidence
    return { id: finding.finding_id, severity, confidence }
  })
  return { submitted, found }
}

export async function batch(client: Client, tools: readonly Tool[]) {
  const reviewIds: string[] = []
  for (const tool of tools) {
    const { review_id: reviewId } = await client.submitToolForReview({
      tool,
      submitted_by: 'batch@example.com',
    })
    reviewIds.push(reviewId)
  }

  // Monitor all sessions
  const lines: string[] = []
  for (const reviewId of reviewIds) {
    const { tool, status } = await client.getReviewSession(reviewId)
    lines.push(`Tool ${tool.name}: ${status}`)
  }
  return lines
}
