/** What is counted of calls of MCP tools. Labels are names that operators gave, never what callers send. */
import { LATENCY_BUCKETS, type Registry } from '../../metrics/registry.ts'
import type { McpCallDeps } from './call.ts'

export function defineCallMetrics(registry: Registry): NonNullable<McpCallDeps['counted']> {
  const calls = registry.counter({
    name: 'vestry_mcp_calls_total',
    help: 'Calls of tools of MCP servers by server and outcome',
    labels: ['server', 'code'],
    maxSeries: 2_000,
  })
  const duration = registry.histogram({
    name: 'vestry_mcp_call_duration_seconds',
    help: 'Time of a call of an MCP tool, all stations included',
    labels: ['server'],
    buckets: LATENCY_BUCKETS,
  })
  return (server, code, ms) => {
    calls.at(server, code).inc()
    duration.at(server).observe(ms / 1_000)
  }
}
