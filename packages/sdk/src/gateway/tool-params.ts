/** Parameters of a tool call, as JSON: which ones a tool takes is the gateway's affair. */
export type ToolParams = Readonly<Record<string, unknown>>
