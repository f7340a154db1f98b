import { DeaError } from "../errors.ts";

/** What `start` was asked for cannot be meant. */
export const invalid = (why: string): DeaError => new DeaError("DEA_INVALID_SPEC", why);

export function positive(name: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0) throw invalid(`${name} must be above 0, not ${value}`);
  return value;
}
