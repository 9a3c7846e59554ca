/** How captured values become part of an envelope: the interface between what wraps and what redacts. */
import type { Capture, CaptureMode } from '../aot.ts'

/** A value that JSON can hold. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json }

/** What an end event says of an error. */
export interface ErrorPayload {
  readonly type: string
  readonly message?: string
  readonly code?: string
  readonly retryable?: boolean
  readonly cause?: readonly string[]
  readonly stack?: readonly string[]
  readonly count?: number
  readonly names?: readonly string[]
}

/** Captures the values of one event, which share one budget of nodes and time. */
export interface EventCapture {
  /** Never throws, never calls code of the value. */
  value(value: unknown): Json
  error(error: unknown): ErrorPayload
  /** The envelope's `capture` member. */
  readonly capture: Capture
}

export interface Capturer {
  /** @param mode The effective one. @param previewLen Overrides the setting, as a wrapper's option may. */
  begin(mode: CaptureMode, previewLen?: number): EventCapture
}
