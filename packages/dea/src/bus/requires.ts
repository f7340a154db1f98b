import { type Capabilities, enforcedLimits, type LimitName } from "../container/capabilities.ts";
import { DeaError } from "../errors.ts";

type Kept = Pick<Capabilities, "enforces">;

/** What is advertised as enforced: all that the backend keeps, or fewer. Throws DEA_UNSUPPORTED for a limit that it does not keep. */
export function promisedLimits(capabilities: Kept, wanted?: readonly LimitName[]): LimitName[] {
  const kept = enforcedLimits(capabilities);
  const empty = wanted?.filter((name) => !kept.includes(name)) ?? [];
  if (empty.length > 0) throw new DeaError("DEA_UNSUPPORTED", `this executor's backend does not enforce ${empty.join(", ")}, so it cannot be advertised`);
  return kept.filter((name) => wanted?.includes(name) ?? true);
}

/** Throws DEA_UNSUPPORTED where a start asks for a limit that is not promised here. */
export function demandLimits(requires: readonly string[] | undefined, promised: readonly string[]): void {
  const missing = requires?.filter((name) => !promised.includes(name)) ?? [];
  if (missing.length > 0) throw new DeaError("DEA_UNSUPPORTED", `The app requires limits that are not enforced here: ${missing.join(", ")}.`);
}
