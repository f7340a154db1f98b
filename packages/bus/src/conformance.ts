import { deliveryCases } from "./conformance/delivery.ts";
import { endingCases } from "./conformance/endings.ts";
import { faultCases } from "./conformance/faults.ts";
import { gatherCases } from "./conformance/gathers.ts";
import { groupCases } from "./conformance/groups.ts";
import { readerCases } from "./conformance/readers.ts";
import { requestCases } from "./conformance/requests.ts";
import { resourceCases } from "./conformance/resources.ts";
import { rightsCases } from "./conformance/rights.ts";
import { stateCases } from "./conformance/state.ts";
import { subjectCases } from "./conformance/subjects.ts";
import type { Cases } from "./conformance/world.ts";

export { type Case, type Cases, conformanceUsers, type LameDuckScene, Skipped, type World, type WorldConnectOptions } from "./conformance/world.ts";

export { kvCases } from "./kv/conformance.ts";
export { objectCases } from "./objects/conformance.ts";
export { queueCases } from "./queue/conformance.ts";

/**
 * What a transport must do, one case each; the number is that of the item. Run them with any test runner:
 * `for (const [title, play] of Object.entries(conformance)) test(title, () => play(world))`.
 * A case throws `Skipped` where the world lacks what it needs.
 */
export const conformance: Cases = {
  ...subjectCases,
  ...deliveryCases,
  ...groupCases,
  ...requestCases,
  ...gatherCases,
  ...endingCases,
  ...readerCases,
  ...faultCases,
  ...rightsCases,
  ...stateCases,
  ...resourceCases,
};
