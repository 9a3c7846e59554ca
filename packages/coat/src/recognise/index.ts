/**
 * Recognises calls to models in the shapes of the common clients and takes metadata from them: names,
 * numbers and reasons, never content. Data members are read, nothing is called, nothing is thrown.
 */
export { recogniseRequest } from './request.ts'
export { recogniseResponse, type ToolCall } from './response.ts'
export { newStreamRecogniser, type StreamRecogniser } from './stream.ts'
export { recogniseUsage, type Usage } from './usage.ts'
