import { DeaError } from "../errors.ts";
import { candidateOf, countOf } from "./candidate.ts";
import { choose, wantedOf } from "./choose.ts";
import { diagnose } from "./diagnose.ts";
import { groupFor, noGroups } from "./group.ts";
import type { PlacementRefusal } from "./refusal.ts";
import type { PlacementHost, PlacementRequest } from "./shapes.ts";

export type Placement = { readonly ok: true; readonly host: string } | { readonly ok: false; readonly refusal: PlacementRefusal };

/**
 * Chooses a host for one instance: a pure function of its arguments, equal for equal input, whatever the order of the hosts.
 * Pool, stack, runtimes, memory, disk and number of instances must fit. Of those that fit it takes the zone with the fewest
 * instances of the app (counted over all hosts of the pool), in it a host with the fewest, of these the emptiest by share of its
 * size; ties are settled by a hash of the names of app and host. The Cloud Controller chose so too from 2013 on
 * (`lib/cloud_controller/dea/pool.rb`), but by free bytes instead of shares, and at random among the upper half.
 * `leaveOut` names hosts that have refused already.
 * @throws DeaError DEA_INVALID_SPEC, DEA_INVALID_HOST (a number that cannot be meant, one id twice)
 */
export function place(request: PlacementRequest, hosts: readonly PlacementHost[], { leaveOut }: { leaveOut?: ReadonlySet<string> } = {}): Placement {
  const wanted = wantedOf(request);
  const pool = noGroups();
  const ids = new Set<string>();
  for (const host of hosts) {
    if (ids.has(host.id)) throw new DeaError("DEA_INVALID_HOST", `host ${host.id} is in the snapshot twice`);
    ids.add(host.id);
    if (host.pool !== wanted.pool) continue;
    const candidate = candidateOf(host);
    const { zone, candidates } = groupFor(pool, host);
    candidate.count = countOf(host, wanted.app);
    zone.count += candidate.count;
    candidates.push(candidate);
  }
  const best = choose(pool, wanted, leaveOut);
  return best ? { ok: true, host: best.id } : { ok: false, refusal: diagnose(pool, wanted, hosts.length) };
}
