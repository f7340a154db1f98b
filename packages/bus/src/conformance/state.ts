import assert from "node:assert/strict";
import { kvCases } from "../kv/conformance.ts";
import { createLease, type Lease } from "../kv/lease.ts";
import { objectCases } from "../objects/conformance.ts";
import { queueCases } from "../queue/conformance.ts";
import type { Transport } from "../transport.ts";
import { eventually, fresh, item, type Stage } from "./tools.ts";
import { type Case, type Cases, need, Skipped } from "./world.ts";

type Opener = "openBucket" | "openObjects" | "openQueue";

/** A connection of a carrier that keeps this kind of state. */
async function keeping<K extends Opener>({ connect }: Stage, open: K): Promise<Transport & Required<Pick<Transport, K>>> {
  const transport = await connect();
  if (!transport[open]) throw new Skipped(`this world has no ${open}`);
  return transport as Transport & Required<Pick<Transport, K>>;
}

const each = <T>(cases: Readonly<Record<string, T>>, play: (check: T) => Case): Cases =>
  Object.fromEntries(Object.entries(cases).map(([title, check]) => [title, play(check)]));

const leaseTtlMs = 400;

/** Items 47 to 53: state that the carrier keeps. */
export const stateCases: Cases = {
  ...each(kvCases, (check) => item(async (stage) => check(async () => [await keeping(stage, "openBucket"), await keeping(stage, "openBucket")]))),

  ...each(objectCases, (check) => item(async (stage) => {
    const { countChunks, tamper } = need(stage.world, "objects");
    await check(async () => {
      const transport = await keeping(stage, "openObjects");
      return { open: (name, options) => transport.openObjects(name, options), countChunks, tamper };
    });
  })),

  ...each(queueCases, (check) => item(async (stage) => check(async () => ({
    open: async (name, options) => (await keeping(stage, "openQueue")).openQueue(name, options),
  })))),

  "53 of many candidates one leads; no number is ever given to two, and it grows": item(async (stage) => {
    const fault = need(stage.world, "fault");
    const name = fresh("office").replace(".", "-");
    const given: { fencing: number; holder: string }[] = [];
    const stand = async (holder: string): Promise<{ lease: Lease; transport: Transport; holder: string }> => {
      const transport = await keeping(stage, "openBucket");
      const lease = createLease({ transport }, name, { ttlMs: leaseTtlMs, holder });
      lease.onChange(({ held, fencing }) => {
        if (held && fencing !== undefined) given.push({ fencing, holder });
      });
      return { lease, transport, holder };
    };
    const candidates = await Promise.all(["one", "two", "three"].map(stand));
    try {
      for (let round = 0; round < 6; round++) {
        const leader = await eventually(() => candidates.find(({ lease }) => lease.held), `a leader in round ${round}`);
        assert.equal(candidates.filter(({ lease }) => lease.held).length, 1);
        const { fencing } = leader.lease;
        const others = candidates.filter((candidate) => candidate !== leader);
        // By turns it is cut off, which it must find out itself, and leaves of its own accord.
        if (round % 2 === 0) {
          await fault.disconnect(leader.transport);
          await eventually(() => others.some(({ lease }) => lease.held), "another leader");
          assert.equal(leader.lease.held, false, "two lead");
          await fault.reconnect(leader.transport);
        } else {
          await leader.lease[Symbol.asyncDispose]();
          await eventually(() => others.some(({ lease }) => lease.held), "another leader");
          candidates[candidates.indexOf(leader)] = await stand(`${leader.holder}+`);
        }
        const next = candidates.find(({ lease }) => lease.held)?.lease.fencing;
        assert.ok(next !== undefined && fencing !== undefined && next > fencing, `${next} after ${fencing}`);
      }
      const order = given.map(({ fencing }) => fencing);
      assert.deepEqual(order, [...new Set(order)].sort((a, b) => a - b), JSON.stringify(given));
      assert.ok(order.length >= 7, `${order.length} terms of office`);
    } finally {
      for (const { lease } of candidates) await lease[Symbol.asyncDispose]();
    }
  }),
};
