/** What every adapter lets its user choose. */
import type { CaptureMode } from '../aot.ts'

export interface AdapterOptions {
  /** Capture values without being told so by the environment. Default false. */
  readonly autoCapture?: boolean
  /** How much of a value is told while capturing. Default `redacted`. */
  readonly capture?: CaptureMode
  /** Characters of each captured value. Default: the setting of the process. */
  readonly previewLen?: number
}

export type CaptureChoice = {
  autoCapture?: boolean
  capture?: CaptureMode
  previewLen?: number
}

/** The part of the options that a span takes; other members of an adapter's options stay behind. */
export function captureChoice(options: AdapterOptions): CaptureChoice {
  const choice: CaptureChoice = {}
  if (options.autoCapture !== undefined) choice.autoCapture = options.autoCapture
  if (options.capture !== undefined) choice.capture = options.capture
  if (options.previewLen !== undefined) choice.previewLen = options.previewLen
  return choice
}
